package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/penstock-io/penstock/store"
)

// OpenOptions say how a surface is opened.
type OpenOptions struct {
	Options

	// Token is sent to a surface that has a URL, for its authorizer, as a bearer token.
	Token string
	// NoLive does not ask the process that has the store open, but reads beside it.
	NoLive bool
}

// patience is how long the process that has the store open may take to say that it is there.
const patience = 5 * time.Second

// Open opens the surface of a directory, in the mode that it is in, or of a URL where a [Handler]
// is mounted, up to v1/. A directory without a store is NotFound, and nothing is made in it.
func Open(ctx context.Context, target string, o OpenOptions) (*Surface, error) {
	if strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://") {
		return openURL(ctx, target, o)
	}
	owner, err := store.OwnerOf(target)
	if err != nil {
		return nil, said(err)
	}
	note := ""
	switch {
	case owner == nil:
	case owner.Admin == "":
		note = owned(owner) + " has it open, and serves no surface: from the log"
	case o.NoLive:
		note = owned(owner) + " has it open, and was not asked: from the log"
	default:
		s, err := live(ctx, owner.Admin)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, said(ctx.Err())
		}
		note = fmt.Sprintf("%s has it open, and does not answer (%v): from the log", owned(owner), err)
	}
	st, err := store.Open(target, store.Options{ReadOnly: true})
	if err != nil {
		return nil, said(err)
	}
	h := &here{st: st, mode: Cold, dir: target, owner: owner, note: note, options: o.Options}
	if owner != nil {
		h.mode = Beside
	}
	return &Surface{here: h, close: st.Close}, nil
}

// owned names the owner of a directory.
func owned(o *store.Owner) string {
	if o == nil || o.PID == 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d (%s)", o.PID, o.Program)
}

// live asks the process that has the store open.
func live(ctx context.Context, address string) (*Surface, error) {
	r, err := dial(address)
	if err != nil {
		return nil, err
	}
	s := &Surface{remote: r, close: func() error { r.client.CloseIdleConnections(); return nil }}
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	if _, err := s.View(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openURL opens the surface of a handler.
func openURL(ctx context.Context, target string, o OpenOptions) (*Surface, error) {
	base := strings.TrimSuffix(target, "/")
	if !strings.HasSuffix(base, "/v1") {
		base += "/v1"
	}
	r := &remote{base: base + "/", token: o.Token, client: &http.Client{}}
	s := &Surface{remote: r, close: func() error { return nil }}
	if _, err := s.View(ctx); err != nil {
		return nil, err
	}
	return s, nil
}
