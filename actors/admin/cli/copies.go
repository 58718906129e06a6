package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
	"github.com/penstock-io/penstock/store"
)

// Copied is a copy that was made.
type Copied struct {
	What string `json:"what"` // "backup", "restored", "exported", "imported"
	From string `json:"from"`
	To   string `json:"to"`
	// Head is the last position that it has, 0 where that is not known.
	Head        store.Position `json:"head,omitempty"`
	Store       string         `json:"store,omitempty"`
	Incarnation uint32         `json:"incarnation,omitempty"`
	Segments    int            `json:"segments,omitempty"`
	Bytes       int64          `json:"bytes"`
	Copied      int            `json:"copied,omitempty"` // segments, by this call
	CopiedBytes int64          `json:"copiedBytes,omitempty"`
	// Fenced is the first position of the fences that were open, and are cancelled in it.
	Fenced store.Position `json:"fenced,omitempty"`
}

// Schema implements [render.Answer].
func (c *Copied) Schema() string { return "copy" }

// Text implements [render.Answer].
func (c *Copied) Text(p *render.Page) {
	p.Line(render.Good.In(c.What), render.Of(c.From+" → "+c.To))
	fenced := ""
	if c.Fenced != 0 {
		fenced = fmt.Sprintf("what was staged from %d on is cancelled in it", c.Fenced)
	}
	copied := ""
	if c.Segments > 0 {
		copied = fmt.Sprintf("%d of %d segments, %s of %s", c.Copied, c.Segments, render.Size(c.CopiedBytes), render.Size(c.Bytes))
	} else if c.Bytes > 0 {
		copied = render.Size(c.Bytes)
	}
	p.Facts(
		render.Fact{Name: "as of", Value: render.Of(number(uint64(c.Head)))},
		render.Fact{Name: "copied", Value: render.Of(copied)},
		render.Fact{Name: "store", Value: render.Of(c.Store)},
		render.Fact{Name: "incarnation", Value: render.Of(number(uint64(c.Incarnation)))},
		render.Fact{Name: "fences", Value: render.Warning.In(fenced)},
	)
}

func copied(what, from, to string, r store.CopyReport) *Copied {
	return &Copied{
		What: what, From: from, To: to, Head: r.Anchor.Position, Store: r.Origin.Store.String(), Incarnation: r.Origin.Incarnation, Segments: r.Segments,
		Bytes: r.Bytes, Copied: r.Copied, CopiedBytes: r.CopiedBytes, Fenced: r.Fenced,
	}
}

// reading opens the directory of the target to be read, and runs something on it.
func (c *call) reading(do func(dir string, st *store.Store) error) error {
	dir, _, err := c.directory()
	if err != nil {
		return err
	}
	st, err := store.Open(dir, store.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	return errors.Join(do(dir, st), st.Close())
}

func storeBackupCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "backup", short: "Copy the log into a directory, or what has changed since the last time", args: []argument{{name: "BACKUP"}},
		long: "It needs no stop of the process that writes. The copy opens as a store that is read; restore makes one of it that\nis written.",
		run: func(c *call) (out render.Answer, err error) {
			err = c.reading(func(dir string, st *store.Store) error {
				bar := c.progress("backup")
				defer bar.end()
				r, err := store.Backup(c.ctx, st, c.args[0], store.BackupOptions{Progress: bar.copied})
				if err == nil {
					out = copied("backup", dir, c.args[0], r)
				}
				return err
			})
			return out, err
		},
	})
}

func storeRestoreCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "restore", short: "Make a store of a backup, in a directory that is empty or not there", free: true,
		args: []argument{{name: "BACKUP"}, {name: "DIRECTORY"}},
		run: func(c *call) (render.Answer, error) {
			bar := c.progress("restore")
			defer bar.end()
			if err := there(c.args[0]); err != nil {
				return nil, err
			}
			r, err := store.Restore(c.ctx, c.args[0], c.args[1], store.RestoreOptions{Progress: bar.copied})
			if err != nil {
				return nil, err
			}
			return copied("restored", c.args[0], c.args[1], r), nil
		},
	})
}

// there makes sure that a path is there, before anything is made for what is read from it.
func there(path string) error {
	_, err := os.Stat(path)
	return err
}

func storeExportCommand(a *app) *cobra.Command {
	var file string
	return a.command(spec{
		name: "export", short: "Write the log as lines of JSON",
		long: "To stdout, or into a new file, which is there only when it is whole. Who has an export has what erasure is to remove.",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVarP(&file, "output", "o", "", "a file that is not there yet")
		},
		run: func(c *call) (out render.Answer, err error) {
			if file == "" && c.format() != render.Text {
				return nil, usage("", "with --json an export needs -o FILE: it is JSON itself")
			}
			err = c.reading(func(dir string, st *store.Store) error {
				if file == "" {
					return store.Export(c.ctx, st, c.cmd.OutOrStdout())
				}
				n, err := exportTo(c.ctx, st, file)
				if err == nil {
					out = &Copied{What: "exported", From: dir, To: file, Bytes: n}
				}
				return err
			})
			return out, err
		},
	})
}

// exportTo writes an export into a file, which has its name only when it is whole.
func exportTo(ctx context.Context, st *store.Store, name string) (n int64, err error) {
	if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
		return 0, &admin.Error{Code: admin.Refused, Text: name + " is there already", Hint: "name another file"}
	}
	part := name + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	counted := &counter{to: f}
	err = store.Export(ctx, st, counted)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(part, name)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(part))
	}
	return counted.bytes, err
}

// counter counts what is written.
type counter struct {
	to    io.Writer
	bytes int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.bytes += int64(n)
	return n, err
}

func storeImportCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "import", short: "Make the store that an export was made of, in a directory that holds none", free: true,
		args: []argument{{name: "FILE"}, {name: "DIRECTORY"}},
		long: "FILE is - for stdin.",
		run: func(c *call) (render.Answer, error) {
			from, total := c.cmd.InOrStdin(), int64(0)
			if c.args[0] != "-" {
				f, err := os.Open(c.args[0])
				if err != nil {
					return nil, err
				}
				defer func() { _ = f.Close() }() // it was read from
				info, err := f.Stat()
				if err != nil {
					return nil, err
				}
				from, total = f, info.Size()
			}
			bar := c.progress("import")
			defer bar.end()
			counted := &reader{from: from, tell: func(n int64) { bar.bytes(n, total) }}
			if err := store.Import(c.ctx, c.args[1], counted, store.Options{}); err != nil {
				return nil, err
			}
			return &Copied{What: "imported", From: c.args[0], To: c.args[1], Bytes: counted.bytes}, nil
		},
	})
}

// reader counts what is read.
type reader struct {
	from  io.Reader
	bytes int64
	tell  func(int64)
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.bytes += int64(n)
	r.tell(r.bytes)
	return n, err
}
