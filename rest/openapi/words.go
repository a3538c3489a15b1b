package openapi

import (
	"fmt"
	"html"
	"html/template"
	"regexp"
	"strings"
)

// words returns a schema as a person would say it, with links to the schemas that
// it names.
func words(s *schema) template.HTML {
	return template.HTML(spoken(s)) // every text in it is escaped
}

func spoken(s *schema) string {
	if s == nil {
		return "bytes"
	}
	if s.Ref != "" {
		name := html.EscapeString(nameOf(s.Ref))
		return `<a href="#schema-` + name + `">` + name + `</a>`
	}
	if s.Const != nil {
		return code(string(s.Const))
	}
	var all []string
	for _, one := range s.OneOf {
		all = append(all, spoken(&one))
	}
	if len(s.Enum) > 0 {
		for _, one := range s.Enum {
			all = append(all, code(string(one)))
		}
		return strings.Join(all, ", ")
	}
	for _, kind := range s.Type {
		all = append(all, s.kind(kind))
	}
	if len(all) == 0 {
		return "anything"
	}
	text := strings.Join(all, " or ")
	if limits := s.limits(); limits != "" {
		text += ", " + html.EscapeString(limits)
	}
	return text
}

// kind returns one of the schema's types in words.
func (s *schema) kind(kind string) string {
	switch {
	case kind == "array":
		return "list of " + spoken(s.Items)
	case kind == "object" && len(s.Properties) == 0 && s.Further != nil:
		return "object of " + spoken(s.Further)
	case kind == "string" && s.Format == "date-time":
		return "time"
	case kind == "string" && s.Format == "uuid":
		return "UUID"
	case kind == "string" && s.Format == "uri":
		return "URL"
	case kind == "string" && s.Encoding != "":
		return html.EscapeString("text in " + s.Encoding)
	case kind == "string":
		return "text"
	}
	return html.EscapeString(kind)
}

// limits returns what narrows the type.
func (s *schema) limits() string {
	var all []string
	for _, l := range []struct {
		least, most *float64
		of          string
	}{
		{s.MinLength, s.MaxLength, " characters"}, {s.MinItems, s.MaxItems, " items"}, {s.MinKeys, nil, " keys"}, {s.Minimum, s.Maximum, ""},
	} {
		switch {
		case l.least != nil && l.most != nil && *l.least != *l.most:
			all = append(all, fmt.Sprintf("%.0f to %.0f%s", *l.least, *l.most, l.of))
		case l.least != nil && l.most != nil:
			all = append(all, fmt.Sprintf("exactly %.0f%s", *l.least, l.of))
		case l.least != nil:
			all = append(all, fmt.Sprintf("at least %.0f%s", *l.least, l.of))
		case l.most != nil:
			all = append(all, fmt.Sprintf("at most %.0f%s", *l.most, l.of))
		}
	}
	if s.Unique {
		all = append(all, "each once")
	}
	if s.Pattern != "" {
		all = append(all, "as "+s.Pattern)
	}
	if s.Default != nil {
		all = append(all, "default "+strings.Trim(string(s.Default), `"`))
	}
	return strings.Join(all, ", ")
}

func code(text string) string { return "<code>" + html.EscapeString(text) + "</code>" }

var (
	inCode   = regexp.MustCompile("`([^`]+)`")
	inStrong = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	inEm     = regexp.MustCompile(`\*([^*]+)\*`)
)

// prose returns a description's text, which uses a little of Markdown: paragraphs,
// code, strong and emphasis.
func prose(text string) template.HTML {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		b.WriteString("<p>" + phrase(paragraph) + "</p>")
	}
	return template.HTML(b.String()) // every text in it is escaped
}

// phrase is prose without paragraphs.
func phrase(text string) string {
	var b strings.Builder
	last := 0
	plain := func(s string) {
		s = inStrong.ReplaceAllString(html.EscapeString(s), "<strong>$1</strong>")
		b.WriteString(inEm.ReplaceAllString(s, "<em>$1</em>"))
	}
	for _, at := range inCode.FindAllStringSubmatchIndex(text, -1) {
		plain(text[last:at[0]])
		b.WriteString(code(text[at[2]:at[3]]))
		last = at[1]
	}
	plain(text[last:])
	return b.String()
}
