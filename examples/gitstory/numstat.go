package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// commit is a commit as git reports it. All names are the bytes that git printed.
type commit struct {
	hash         string
	author, mail string
	when         string // the author's date in ISO 8601
	parents      int
	subject      string
	changes      []change
}

// change is what a commit did to one file.
type change struct {
	path           string
	from           string // the old path of a renamed file
	added, deleted int    // lines
	binary         bool   // it has no lines
}

// reader reads the output of git log with [logArguments]. Everything ends with a NUL, which no name
// and no subject can hold, but for a newline ahead of the first file:
//
//	commit   \x01 hash NUL author NUL mail NUL date NUL parents NUL subject NUL  [ \n file file ... ]
//	file     added \t deleted \t path NUL
//	renamed  added \t deleted \t NUL old path NUL new path NUL
//	binary   - \t - \t path NUL
//
// A file begins with a digit or a dash, so the mark \x01 is never taken for one.
type reader struct{ in *bufio.Reader }

const commitMark = '\x01'

func newReader(in io.Reader) *reader { return &reader{in: bufio.NewReaderSize(in, 64<<10)} }

// next returns the next commit, [io.EOF] after the last one, [io.ErrUnexpectedEOF] when the output
// ends within a commit.
func (r *reader) next() (commit, error) {
	mark, err := r.in.ReadByte()
	if err != nil {
		return commit{}, err
	}
	if mark != commitMark {
		return commit{}, fmt.Errorf("git log: %q where a commit should begin", mark)
	}
	c, err := r.header()
	if err != nil {
		return commit{}, err
	}
	for {
		more, err := r.anotherFile()
		if err != nil {
			return commit{}, fmt.Errorf("git log: commit %s: %w", c.hash, err)
		}
		if !more {
			return c, nil
		}
		f, err := r.file()
		if err != nil {
			return commit{}, fmt.Errorf("git log: commit %s: %w", c.hash, err)
		}
		c.changes = append(c.changes, f)
	}
}

func (r *reader) header() (commit, error) {
	var c commit
	var parents string
	for _, field := range []*string{&c.hash, &c.author, &c.mail, &c.when, &parents, &c.subject} {
		var err error
		if *field, err = r.token(); err != nil {
			return c, fmt.Errorf("git log: header of commit %q: %w", c.hash, err)
		}
	}
	c.parents = len(strings.Fields(parents))
	return c, nil
}

// anotherFile reports whether the commit has another file.
func (r *reader) anotherFile() (bool, error) {
	next, err := r.in.Peek(1)
	switch {
	case errors.Is(err, io.EOF):
		return false, nil
	case err != nil:
		return false, err
	case next[0] == '\n':
		_, err = r.in.Discard(1)
		return true, err
	}
	return next[0] != commitMark, nil
}

func (r *reader) file() (change, error) {
	line, err := r.token()
	if err != nil {
		return change{}, err
	}
	fields := strings.SplitN(line, "\t", 3)
	if len(fields) != 3 {
		return change{}, fmt.Errorf("no numbers and path: %q", line)
	}
	f := change{path: fields[2], binary: fields[0] == "-"}
	if !f.binary {
		var errAdded, errDeleted error
		f.added, errAdded = strconv.Atoi(fields[0])
		f.deleted, errDeleted = strconv.Atoi(fields[1])
		if err := errors.Join(errAdded, errDeleted); err != nil {
			return change{}, fmt.Errorf("no numbers and path: %q: %w", line, err)
		}
	}
	if f.path != "" {
		return f, nil
	}
	if f.from, err = r.token(); err != nil {
		return change{}, err
	}
	f.path, err = r.token()
	return f, err
}

// token reads up to the next NUL.
func (r *reader) token() (string, error) {
	s, err := r.in.ReadString(0)
	if errors.Is(err, io.EOF) {
		return "", io.ErrUnexpectedEOF
	}
	return strings.TrimSuffix(s, "\x00"), err
}
