package docs_test

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored"
)

// TestTheTableOfLimitsHasEveryKeyWithItsDefault holds limits.md against the
// configuration: a key of the group limits that is missing there, or has another
// default, fails.
func TestTheTableOfLimitsHasEveryKeyWithItsDefault(t *testing.T) {
	text, err := os.ReadFile("limits.md")
	if err != nil {
		t.Fatal(err)
	}
	limits := reflect.ValueOf(blockstored.DefaultConfig("").Limits)
	for i := range limits.NumField() {
		key := "limits." + limits.Type().Field(i).Tag.Get("yaml")
		found := regexp.MustCompile("`" + regexp.QuoteMeta(key) + "`,? ([0-9 ]*[0-9](?: MiB| minute)?)").FindSubmatch(text)
		if found == nil {
			t.Errorf("limits.md does not give the default of %s", key)
			continue
		}
		if want := shown(limits.Field(i)); string(found[1]) != want {
			t.Errorf("%s: limits.md says %s, the default is %s", key, found[1], want)
		}
	}
}

// shown returns a default as the table writes it.
func shown(v reflect.Value) string {
	n := v.Int()
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		return fmt.Sprintf("%d minute", time.Duration(n)/time.Minute)
	case n > 0 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && len(digits) > 4; i -= 3 {
		digits = digits[:i] + " " + digits[i:]
	}
	return strings.TrimSpace(digits)
}
