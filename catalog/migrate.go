package catalog

import (
	"context"
	"embed"
	"errors"
	"fmt"
)

//go:embed migrations/*.sql
var migrations embed.FS

// SchemaVersion is the number of the newest migration, kept in user_version. A
// catalog with a higher one is refused.
// Migrations only go forward, and a published one is never edited.
const SchemaVersion = 4

// migrate brings a database to SchemaVersion. Every migration is one
// transaction. A migration must be deterministic, so that nodes that apply the
// same log stay the same whenever each is upgraded.
func migrate(s *session) error {
	var have int
	if _, err := s.get(`PRAGMA user_version`, nil, &have); err != nil {
		return err
	}
	if have > SchemaVersion {
		return fmt.Errorf("catalog: it was written by a newer blockstored (schema %d, this one knows %d); start the newer version, "+
			"or restore a backup made before the upgrade", have, SchemaVersion)
	}
	for n := have + 1; n <= SchemaVersion; n++ {
		text, err := migrations.ReadFile(fmt.Sprintf("migrations/%04d.sql", n))
		if err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
		script := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %d;\nCOMMIT;", text, n)
		if _, err := s.conn.ExecContext(context.Background(), script); err != nil {
			_, undo := s.conn.ExecContext(context.Background(), "ROLLBACK")
			return fmt.Errorf("catalog: migration %d: %w", n, errors.Join(err, undo))
		}
	}
	return nil
}
