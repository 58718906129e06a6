package admin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/penstock-io/penstock/store"
)

// maxSocketPath is the longest path that a unix socket can have everywhere.
const maxSocketPath = 103

// Server lets other processes of the same user ask a surface. Its goroutines end with Close.
type Server struct {
	http   *http.Server
	store  *store.Store
	folder string
	ended  chan struct{} // when the goroutine that accepts has ended
}

// Listen serves a surface of [New] on a socket that the user of this process alone can reach, and
// names it in the file OWNER of the store's directory, where [Open] finds it. The socket lies in a
// folder of its own: in that for the running user (XDG_RUNTIME_DIR), or that for temporary files.
// Where a socket cannot be, it is a port of the machine itself, and a token in that folder.
//
// Close ends it; a crash leaves the folder, and a name that is not trusted any more.
func Listen(s *Surface) (*Server, error) {
	if s.here == nil || s.here.mode != Live {
		return nil, fail(Usage, "give it one of admin.New", "a surface of another process is not served once more")
	}
	folder, err := os.MkdirTemp(runtimeFolder(), "penstock-")
	if err != nil {
		return nil, fmt.Errorf("admin: listen: %w", err)
	}
	server := &Server{store: s.here.st, folder: folder, ended: make(chan struct{})}
	listener, address, authorize, err := server.bind()
	if err != nil {
		_ = os.RemoveAll(folder)
		return nil, fmt.Errorf("admin: listen: %w", err)
	}
	server.http = &http.Server{Handler: Handler(s, HandlerOptions{Authorize: authorize}), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(server.ended)
		_ = server.http.Serve(listener) // ends with Close
	}()
	if err := store.Announce(s.here.st, address); err != nil {
		return nil, errors.Join(fmt.Errorf("admin: listen: %w", err), server.Close())
	}
	return server, nil
}

// Close ends the server, with the requests that are under way.
func (s *Server) Close() error {
	if err := store.Announce(s.store, ""); err != nil && !errors.Is(err, store.ErrClosed) {
		return errors.Join(err, s.end())
	}
	return s.end()
}

func (s *Server) end() error {
	err := s.http.Close()
	<-s.ended
	return errors.Join(err, os.RemoveAll(s.folder))
}

// runtimeFolder is where the folder of the socket is made: "" for that of temporary files.
func runtimeFolder() string {
	folder := os.Getenv("XDG_RUNTIME_DIR")
	if info, err := os.Stat(folder); folder == "" || err != nil || !info.IsDir() {
		return ""
	}
	return folder
}

type authorizer = func(*http.Request) (by string, may Access, err error)

// bind opens the socket, or the port.
func (s *Server) bind() (listener net.Listener, address string, by authorizer, err error) {
	path := filepath.Join(s.folder, "admin")
	if runtime.GOOS != "windows" && len(path) <= maxSocketPath {
		listener, err = net.Listen("unix", path)
		return listener, "unix:" + path, anyone, err
	}
	token := rand.Text() + rand.Text() // 256 bits
	name := filepath.Join(s.folder, "token")
	if err = os.WriteFile(name, []byte(token), 0o600); err != nil {
		return nil, "", nil, err
	}
	if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, "", nil, err
	}
	return listener, "tcp:" + listener.Addr().String() + "," + name, bearer(token), nil
}

// anyone who can reach the socket may do all: the folder decided.
func anyone(*http.Request) (by string, may Access, err error) { return "", Control, nil }

// bearer lets those in who have the token.
func bearer(token string) authorizer {
	return func(r *http.Request) (by string, may Access, err error) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1 {
			return "", NoAccess, errors.New("the token is missing, or wrong")
		}
		return "", Control, nil
	}
}

// dial returns the client of an address that OWNER has.
func dial(address string) (*remote, error) {
	kind, where, _ := strings.Cut(address, ":")
	switch kind {
	case "unix":
		connect := func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", where)
		}
		return &remote{base: "http://localhost/v1/", client: &http.Client{Transport: &http.Transport{DialContext: connect}}}, nil
	case "tcp":
		host, name, _ := strings.Cut(where, ",")
		token, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		return &remote{base: "http://" + host + "/v1/", token: string(token), client: &http.Client{Transport: &http.Transport{}}}, nil
	}
	return nil, fmt.Errorf("no such address: %q", address)
}
