package lab

import (
	"context"
	"encoding/json"
	"fmt"
)

// ForHost makes, at the first node, what a host needs to begin: a token that may
// write, and a collection, whose id it returns. It tries again while nobody leads,
// which happens on a busy machine without any fault; for a minute at most each.
func (l *Lab) ForHost(ctx context.Context) (token, collection string, err error) {
	var made struct{ Token, UUID string }
	for _, args := range [][]string{{"token", "create", "--role", "writer"}, {"collection", "create"}} {
		tries := 0
		err := Until(ctx, func(ctx context.Context) error {
			tries++ // the name of a token that was made without an answer is taken
			out, err := l.nodes[0].Command(ctx, append(args, fmt.Sprint("host", tries), "--format", "json")...)
			if err != nil {
				return err
			}
			return json.Unmarshal(out, &made)
		})
		if err != nil {
			return "", "", err
		}
	}
	return made.Token, made.UUID, nil
}
