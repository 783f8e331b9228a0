package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"path"
	"strconv"
	"strings"
	"text/template"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"postern/crm"
)

// A migration is never edited after a release that has it.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrate brings the tables up to date. Processes that open one database at the same
// time wait for each other: by a lock in PostgreSQL, by the caller's file lock on SQLite.
func (d *database) migrate(ctx context.Context) error {
	migrations, err := d.migrations()
	if err != nil {
		return err
	}
	options := []goose.ProviderOption{goose.WithGoMigrations(migrations...), goose.WithDisableGlobalRegistry(true)}
	if d.goose == goose.DialectPostgres {
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(d.goose, d.write, nil, options...)
	if err != nil {
		return err
	}
	current, newest, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the version of the database: %w", err)
	}
	if current > newest {
		return &crm.Fault{
			Verdict: crm.Refused, Scope: crm.OrgScope, Code: "database-newer",
			Message: fmt.Sprintf("The database has version %d; this program knows versions up to %d.", current, newest),
			Advice:  "Start the newer Postern that wrote it, or restore the backup from before the upgrade.",
		}
	}
	_, err = provider.Up(ctx)
	return err
}

// migrations are the embedded files, in the words of the dialect.
func (d *database) migrations() ([]*goose.Migration, error) {
	files, err := migrationFiles.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	var list []*goose.Migration
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s: no number in front", f.Name())
		}
		t, err := template.ParseFS(migrationFiles, path.Join("migrations", f.Name()))
		if err != nil {
			return nil, err
		}
		var text strings.Builder
		if err := t.Execute(&text, d.dialect); err != nil {
			return nil, err
		}
		up := func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, text.String())
			return err
		}
		list = append(list, goose.NewGoMigration(version, &goose.GoFunc{RunTx: up}, nil))
	}
	return list, nil
}
