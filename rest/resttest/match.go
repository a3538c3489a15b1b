package resttest

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
)

var placeholder = regexp.MustCompile(`\$\{(?:([a-z0-9]+):)?([a-z0-9_]+)\}`)

var kinds = map[string]string{
	"uuid":  `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`,
	"time":  `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?Z`,
	"hex40": `[0-9a-f]{40}`,
	"query": `expires=\d+&signature=[A-Za-z0-9_-]+`,
	"text":  `(?:[^"\\]|\\.)*`,
}

func substitute(text string, kept map[string]string) string {
	return placeholder.ReplaceAllStringFunc(text, func(s string) string {
		if value, ok := kept[placeholder.FindStringSubmatch(s)[2]]; ok {
			return value
		}
		return s
	})
}

// match holds got against want and keeps what its placeholders matched.
func match(want, got string, kept map[string]string) error {
	var pattern strings.Builder
	var names []string
	kindOf := make(map[string]string)
	pattern.WriteString(`\A`)
	last := 0
	for _, at := range placeholder.FindAllStringSubmatchIndex(want, -1) {
		pattern.WriteString(regexp.QuoteMeta(want[last:at[0]]))
		last = at[1]
		name := want[at[4]:at[5]]
		if at[2] >= 0 {
			kindOf[name] = kinds[want[at[2]:at[3]]]
		}
		if kind, fresh := kindOf[name]; fresh {
			pattern.WriteString("(" + kind + ")")
			names = append(names, name)
		} else {
			pattern.WriteString(regexp.QuoteMeta(kept[name]))
		}
	}
	pattern.WriteString(regexp.QuoteMeta(want[last:]) + `\z`)
	found := regexp.MustCompile(pattern.String()).FindStringSubmatch(got)
	if found == nil {
		return fmt.Errorf("got  %s\nwant %s", got, substitute(want, kept))
	}
	values := make(map[string]string)
	for i, name := range names {
		if before, ok := values[name]; ok && before != found[i+1] {
			return fmt.Errorf("%s is both %s and %s in %s", name, before, found[i+1], got)
		}
		values[name] = found[i+1]
	}
	maps.Copy(kept, values)
	return nil
}
