package sim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// A spool keeps raw letters in one temporary file, so that they cost no memory.
type spool struct {
	mu   sync.Mutex
	file *os.File
	size int64
}

// A span is where a letter lies in the spool.
type span struct {
	off, len int64
}

// add appends a letter and tells where it lies.
func (s *spool) add(raw []byte) (span, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		f, err := os.CreateTemp("", "simulated-exchange-*.spool")
		if err != nil {
			return span{}, fmt.Errorf("open the spool: %w", err)
		}
		// Where the system lets us, the name goes at once: then nothing is left behind
		// however the process ends. Elsewhere close removes it.
		_ = os.Remove(f.Name())
		s.file = f
	}
	if _, err := s.file.WriteAt(raw, s.size); err != nil {
		return span{}, fmt.Errorf("write to the spool: %w", err)
	}
	at := span{s.size, int64(len(raw))}
	s.size += at.len
	return at, nil
}

// read returns the letter at a place.
func (s *spool) read(at span) ([]byte, error) {
	raw := make([]byte, at.len)
	if _, err := io.ReadFull(s.reader(at), raw); err != nil {
		return nil, fmt.Errorf("read from the spool: %w", err)
	}
	return raw, nil
}

// reader reads the letter at a place piece by piece.
func (s *spool) reader(at span) io.Reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return closedReader{}
	}
	return io.NewSectionReader(s.file, at.off, at.len)
}

// A closedReader stands for a letter after close.
type closedReader struct{}

func (closedReader) Read([]byte) (int, error) { return 0, fs.ErrClosed }

func (s *spool) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if gone := os.Remove(s.file.Name()); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	s.file = nil
	return err
}
