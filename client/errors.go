package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sort"
	"strings"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

// maxErrorBody bounds what is read of a refusal's body.
const maxErrorBody = 1 << 20

// errorHeader names the kind of a refusal.
const errorHeader = "Blockstored-Error"

// readError makes an error of a refusal. Its kind is what the server names, or
// what the status says; what the body has beside the message is in Fields, or in
// an *api.ConflictError.
func readError(resp *http.Response) error {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return bundle.Errorf(bundle.KindUnavailable, "%s: the answer broke off: %w", resp.Status, err)
	}
	e := &bundle.Error{Kind: kindOf(resp.StatusCode), Fields: map[string]string{}}
	var body any
	if json.Unmarshal(raw, &body) == nil {
		readErrorBody(e, body)
	}
	if name := resp.Header.Get(errorHeader); name != "" {
		e.Kind = bundle.ParseKind(name)
	}
	if e.Message == "" {
		e.Message = "the server answered " + resp.Status
		if resp.StatusCode/100 == 3 {
			e.Message += ": is this the address of a blockstored?"
		}
	}
	if wait := resp.Header.Get("Retry-After"); wait != "" {
		e.Fields["retry_after"] = wait
	}
	var conflict struct {
		Conflicts []api.Conflict `json:"conflicts"`
	}
	if e.Kind == bundle.KindConflict && json.Unmarshal(raw, &conflict) == nil && conflict.Conflicts != nil {
		return &api.ConflictError{Conflicts: conflict.Conflicts, Err: e}
	}
	return e
}

// readErrorBody takes the message from any of the API's shapes: {"detail": …},
// an array of texts, or an object of fields with their messages.
func readErrorBody(e *bundle.Error, body any) {
	switch body := body.(type) {
	case []any:
		e.Message = joinTexts(body)
	case map[string]any:
		if detail, ok := body["detail"].(string); ok {
			e.Message = detail
			readErrorFields(e, body)
			return
		}
		e.Message = joinFields(body)
	}
}

func readErrorFields(e *bundle.Error, body map[string]any) {
	for key, value := range body {
		switch value := value.(type) {
		case string:
			if key != "detail" {
				e.Fields[key] = value
			}
		case map[string]any: // the primary of a copy
			for inner, v := range value {
				if s, ok := v.(string); ok && inner == "name" {
					e.Fields[key] = s
				} else if ok {
					e.Fields[key+"_"+inner] = s
				}
			}
		case []any:
			if key != "conflicts" {
				e.Fields[key] = joinTexts(value)
			}
		}
	}
}

func joinTexts(values []any) string {
	texts := make([]string, 0, len(values))
	for _, v := range values {
		if s, ok := v.(string); ok {
			texts = append(texts, s)
			continue
		}
		if raw, err := json.Marshal(v); err == nil {
			texts = append(texts, string(raw))
		}
	}
	return strings.Join(texts, "; ")
}

// joinFields makes one line of {"title":["This field is required."]}.
func joinFields(body map[string]any) string {
	var parts []string
	for name, value := range body {
		text := fmt.Sprint(value)
		if list, ok := value.([]any); ok {
			text = joinTexts(list)
		}
		if name == "non_field_errors" {
			parts = append(parts, text)
		} else {
			parts = append(parts, name+": "+text)
		}
	}
	sort.Strings(parts)
	return strings.Join(parts, "; ")
}

// kindOf returns the kind that a status stands for where the body says no more.
func kindOf(status int) bundle.Kind {
	plain := []bundle.Kind{
		bundle.KindInvalid, bundle.KindUnauthorized, bundle.KindForbidden, bundle.KindNotFound,
		bundle.KindConflict, bundle.KindGone, bundle.KindPrecondition, bundle.KindTooLarge,
		bundle.KindTakenDown, bundle.KindRateLimited, bundle.KindUnavailable, bundle.KindNoSpace,
	}
	if i := slices.IndexFunc(plain, func(k bundle.Kind) bool { return k.HTTPStatus() == status }); i >= 0 {
		return plain[i]
	}
	switch {
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout:
		return bundle.KindUnavailable
	case status/100 == 4:
		return bundle.KindInvalid
	}
	return bundle.KindOther
}
