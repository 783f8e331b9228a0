package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
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

func (o *Org) putFile(ctx context.Context, r io.Reader, limit int64) (b Blob, err error) {
	steps := o.s.steps
	if err := steps.before("blob: create"); err != nil {
		return Blob{}, err
	}
	f, err := os.CreateTemp(filepath.Join(o.s.dir, "blobs"), "incoming-*")
	if err != nil {
		return Blob{}, err
	}
	defer func() { err = errors.Join(err, removeFile("blob", f.Name(), steps)) }() // nothing to do when all went well
	in := &measured{r: r, ctx: ctx, left: limit, hash: sha256.New()}
	if err := writeFile("blob", f, in, steps); err != nil {
		return Blob{}, err
	}
	b = Blob{SHA256: [32]byte(in.hash.Sum(nil)), Size: limit - in.left}
	path := o.blobPath(b.SHA256[:])
	if info, err := os.Stat(path); err != nil || info.Size() != b.Size {
		if err := makeFolders(steps, filepath.Dir(filepath.Dir(path)), filepath.Dir(path)); err != nil {
			return Blob{}, err
		}
		if err := steps.before("blob: rename"); err != nil {
			return Blob{}, err
		}
		if err := os.Rename(f.Name(), path); err != nil {
			return Blob{}, err
		}
	}
	return b, syncFolder("blob", filepath.Dir(path), steps)
}

// measured hashes what is read through it, and stops beyond its limit or when ctx ends.
type measured struct {
	r    io.Reader
	ctx  context.Context
	left int64
	hash hash.Hash
}

func (m *measured) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.hash.Write(p[:n])
	if m.left -= int64(n); m.left < 0 {
		return 0, ErrTooLarge
	}
	if m.ctx.Err() != nil {
		return 0, m.ctx.Err()
	}
	return n, err
}

// writeFile writes a new file so that it lasts, and closes it.
func writeFile(kind string, f *os.File, r io.Reader, steps steps) error {
	err := steps.before(kind + ": write")
	if err == nil {
		_, err = io.Copy(f, r)
	}
	if err == nil {
		err = steps.before(kind + ": sync")
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// makeFolders makes folders, the outer first, so that they last.
func makeFolders(steps steps, folders ...string) error {
	for _, path := range folders {
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := steps.before("blob: make folder"); err != nil {
			return err
		}
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := syncFolder("blob", filepath.Dir(path), steps); err != nil {
			return err
		}
	}
	return nil
}

// syncFolder makes last what was made or renamed in a folder.
func syncFolder(kind, path string, steps steps) error {
	if err := steps.before(kind + ": sync folder"); err != nil {
		return err
	}
	return syncDir(path)
}

// errContentGone tells that content was deleted between PutBlob and its first reference:
// nothing else referred to it any more.
var errContentGone = errors.New("the content was deleted meanwhile")

// keepBlob makes sure that content is there while something begins to refer to it: small one
// is written into the database, large one must have its file still. The caller holds the
// organization's row, as who deletes contents does.
func (o *Org) keepBlob(ctx context.Context, t *tx, b *Blob) error {
	if b == nil {
		return nil
	}
	if b.Size > smallBlob {
		if _, err := os.Stat(o.blobPath(b.SHA256[:])); errors.Is(err, fs.ErrNotExist) {
			return errContentGone
		} else if err != nil {
			return err
		}
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
