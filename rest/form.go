package rest

import (
	"net/http"
	"strings"
)

// formValues are the pairs of a query or a form; of a key given twice the last
// counts.
type formValues map[string]string

// parseForm reads application/x-www-form-urlencoded as the original does: what
// is badly escaped stands for itself, and nothing is an error.
func parseForm(s string) formValues {
	values := make(formValues)
	for pair := range strings.SplitSeq(s, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		values[unescape(key)] = unescape(value)
	}
	return values
}

func queryOf(r *http.Request) formValues {
	if r.URL.RawQuery == "" {
		return nil
	}
	return parseForm(r.URL.RawQuery)
}

func unescape(s string) string {
	s = strings.ReplaceAll(s, "+", " ")
	if strings.Contains(s, "%") {
		b := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			if s[i] == '%' && i+2 < len(s) && hexDigit(s[i+1]) >= 0 && hexDigit(s[i+2]) >= 0 {
				b = append(b, byte(hexDigit(s[i+1])<<4|hexDigit(s[i+2])))
				i += 2
				continue
			}
			b = append(b, s[i])
		}
		s = string(b)
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
