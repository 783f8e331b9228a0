package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// A Blob is content that is stored once, whoever refers to it.
type Blob struct {
	SHA256 [32]byte
	Size   int64
	small  []byte // the content itself, when it is not in a file
}

// smallBlob is up to where content lies in the database: a row costs a tenth of a file
// that is made, flushed and renamed. Larger content would only bloat the tables.
const smallBlob = 32 << 10

// PutBlob takes content in. What is large is in a file under its hash when it returns;
// what is small is kept with the first attachment that is saved with it. ErrTooLarge when
// it is longer than limit bytes; nothing is kept then. A file that nothing refers to yet
// does no harm: the same content comes again after a crash.
func (o *Org) PutBlob(ctx context.Context, r io.Reader, limit int64) (Blob, error) {
	small, err := io.ReadAll(io.LimitReader(r, min(smallBlob, limit)+1))
	switch size := int64(len(small)); {
	case err != nil:
		return Blob{}, err
	case size > limit:
		return Blob{}, ErrTooLarge
	case size <= smallBlob:
		return Blob{SHA256: sha256.Sum256(small), Size: size, small: small}, ctx.Err()
	}
	b, err := o.putFile(ctx, io.MultiReader(bytes.NewReader(small), r), limit)
	return b, o.db.fault(err)
}

func (o *Org) putFile(ctx context.Context, r io.Reader, limit int64) (Blob, error) {
	f, err := os.CreateTemp(filepath.Join(o.s.dir, "blobs"), "incoming-*")
	if err != nil {
		return Blob{}, err
	}
	defer os.Remove(f.Name()) // is not there any more when all went well
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = ErrTooLarge
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return Blob{}, err
	}
	b := Blob{SHA256: [32]byte(h.Sum(nil)), Size: n}
	path := o.blobPath(b.SHA256[:])
	if info, err := os.Stat(path); err == nil && info.Size() == n {
		return b, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return Blob{}, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return Blob{}, err
	}
	return b, syncDir(filepath.Dir(path))
}

// keepBlob writes small content into the database; nil and large ones need nothing more.
func (o *Org) keepBlob(ctx context.Context, t *tx, b *Blob) error {
	if b == nil || b.Size > smallBlob {
		return nil
	}
	_, err := t.exec(ctx, "insert into blob (org_id, sha256, content) values ($1, $2, $3) on conflict (org_id, sha256) do nothing", o.id, b.SHA256[:], b.small)
	return err
}

// openBlob opens content, wherever it lies.
func (o *Org) openBlob(ctx context.Context, sum []byte) (io.ReadSeekCloser, error) {
	var content []byte
	err := one(ctx, o.read(), "select content from blob where org_id = $1 and sha256 = $2", []any{o.id, sum}, &content)
	switch {
	case errors.Is(err, ErrNotFound):
		return os.Open(o.blobPath(sum))
	case err != nil:
		return nil, err
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader(content), io.NopCloser(nil)}, nil
}

// blobPath is the file of large content; each organization has its own.
func (o *Org) blobPath(sum []byte) string {
	name := hex.EncodeToString(sum)
	return filepath.Join(o.s.dir, "blobs", strconv.FormatInt(int64(o.id), 10), name[:2], name)
}

// lostBlobs tells of stored attachments of some messages whose content is not there whole.
func (o *Org) lostBlobs(ctx context.Context, messages []int64, tell func(message int64, name string)) error {
	return in(ctx, o.read(), `select a.message_id, a.name, a.sha256, a.size, length(b.content) from attachment a
		left join blob b on b.org_id = a.org_id and b.sha256 = a.sha256
		where a.org_id = $1 and a.state = 'stored' and a.message_id in (%s)`, []any{o.id}, messages, func(r *sql.Rows) error {
		var message, size int64
		var name string
		var sum []byte
		var inside sql.NullInt64
		if err := r.Scan(&message, &name, &sum, &size, &inside); err != nil {
			return err
		}
		if !inside.Valid && size > smallBlob && len(sum) == sha256.Size {
			info, err := os.Stat(o.blobPath(sum))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("content of attachment %q: %w", name, err)
			}
			inside.Valid = err == nil
			if inside.Valid {
				inside.Int64 = info.Size()
			}
		}
		if !inside.Valid || inside.Int64 != size {
			tell(message, name)
		}
		return nil
	})
}
