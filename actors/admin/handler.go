package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// HandlerOptions say who may do what through a [Handler].
type HandlerOptions struct {
	// Authorize says who has sent a request, for the audit event of a change, and what that caller
	// may do. An error is answered with 401 and its text.
	//
	// nil is for the machine itself alone: requests that come from a loopback address and name one as
	// their host get Read and Payloads, and Control where that is set; others are refused.
	Authorize func(r *http.Request) (by string, may Access, err error)
	// Control lets callers change things where Authorize is nil.
	Control bool
}

// maxQuestion bounds what is read of a request.
const maxQuestion = 4 << 20

// Handler returns the HTTP front of a surface. It may be mounted below any path that ends with
// "v1/": what follows that is the name of the operation, as in /admin/v1/status. The parameters of
// those that change nothing are those of the URL, as in v1/events?entity=order&limit=10; the others
// are POST requests with a JSON body. An answer is {"answer": …} or {"error": {"code", "text",
// "hint"}}; a list is a line of that for each value, and then {"end": true}, or server-sent events
// for a caller that accepts text/event-stream.
//
//	penstock := admin.Handler(surface, admin.HandlerOptions{Authorize: team})
//	mux.Handle("/admin/v1/", penstock)
func Handler(s *Surface, o HandlerOptions) http.Handler {
	f := &front{surface: s, options: o, operations: make(map[string]operation)}
	for _, one := range operations() {
		f.operations[one.path()] = one
	}
	return http.NewCrossOriginProtection().Handler(f)
}

// front is the handler.
type front struct {
	surface    *Surface
	options    HandlerOptions
	operations map[string]operation
}

// operation is a question or a listing.
type operation interface {
	path() string
	needs() Access
	// serve answers a request whose caller may ask.
	serve(w http.ResponseWriter, r *http.Request, s *Surface)
}

// operations are all that there are.
func operations() []operation {
	return []operation{
		view(), status(), watch(), events(), oneEvent(), payload(), story(), history(), names(), parked(), audit(), logInfo(),
		pause(), resume(), stack(), interrupt(), replay(), discard(), change(), appendEvent(), retain(), erase(),
		sagas(), listInstances(), oneInstance(), sagaStory(), sagaPicture(), callSaga(),
		metricsPage{},
	}
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	by, may, err := f.authorize(r)
	if err != nil {
		refuse(w, http.StatusUnauthorized, fail(Forbidden, "", "%v", err))
		return
	}
	name := r.URL.Path[strings.LastIndex(r.URL.Path, "/v1/")+1:]
	o := f.operations[strings.TrimPrefix(name, "v1/")]
	switch {
	case o == nil:
		refuse(w, http.StatusNotFound, fail(NotFound, "", "no operation %q", r.URL.Path))
		return
	case may < o.needs():
		refuse(w, http.StatusForbidden, fail(Forbidden, "", "%s needs the right to %s, and you have %s", o.path(), o.needs(), may))
		return
	case o.needs() == Control && r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, fail(Usage, "", "%s changes something: send it as a POST", o.path()))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxQuestion)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	o.serve(w, r.WithContext(withCaller(r.Context(), caller{by: by, access: may})), f.surface)
}

// authorize says who has sent a request.
func (f *front) authorize(r *http.Request) (by string, may Access, err error) {
	if f.options.Authorize != nil {
		return f.options.Authorize(r)
	}
	if !loopback(r.RemoteAddr) || !loopback(r.Host) {
		return "", NoAccess, fmt.Errorf("without an authorizer only the machine itself is answered, under the name localhost: set HandlerOptions.Authorize")
	}
	if f.options.Control {
		return "", Control, nil
	}
	return "", Payloads, nil
}

// loopback reports whether an address, with a port or without, is that of the machine itself. The
// name in a request is looked at, too: a page of another origin may have had its own name point
// here.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answered[*nothing]{Error: wire(err)})
}

// wire is an error as it is sent.
func wire(err error) *Error {
	e, _ := said(err).(*Error) //nolint:errorlint // said has made it one, or found one within
	if e == nil {
		e = &Error{Code: CodeOf(err), Text: err.Error()}
	}
	return e
}

// httpStatus is that of an error.
func httpStatus(c Code) int {
	switch c {
	case Usage:
		return http.StatusBadRequest
	case NotFound:
		return http.StatusNotFound
	case Refused:
		return http.StatusConflict
	case Forbidden:
		return http.StatusForbidden
	case Unreachable:
		return http.StatusServiceUnavailable
	case Failed, Damage, Unknown:
	}
	return http.StatusInternalServerError
}

func (o question[Q, A]) path() string  { return o.name }
func (o question[Q, A]) needs() Access { return o.access }

func (o question[Q, A]) serve(w http.ResponseWriter, r *http.Request, s *Surface) {
	var q Q
	if err := read(r, o.access, &q); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	a, err := o.ask(r.Context(), s, q)
	if err != nil {
		refuse(w, httpStatus(CodeOf(err)), err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answered[A]{Answer: a})
}

// read takes in the parameters of a request.
func read(r *http.Request, access Access, q any) error {
	if access == Control {
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(q); err != nil {
			return fail(Usage, "", "bad body: %v", err)
		}
		return nil
	}
	values := r.URL.Query()
	if asked := values.Get("q"); asked != "" {
		if err := json.Unmarshal([]byte(asked), q); err != nil {
			return fail(Usage, "", "bad parameter q: %v", err)
		}
		return nil
	}
	return parameters(values, q)
}

func (o listing[Q, A]) path() string  { return o.name }
func (o listing[Q, A]) needs() Access { return o.access }

func (o listing[Q, A]) serve(w http.ResponseWriter, r *http.Request, s *Surface) {
	var q Q
	if err := read(r, o.access, &q); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	out := &lines{w: w, to: http.NewResponseController(w), encoder: json.NewEncoder(w)}
	out.events = strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	w.Header().Set("Content-Type", "application/x-ndjson")
	if out.events {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	ctx, leave := context.WithCancel(r.Context())
	defer leave()
	for a, err := range o.ask(ctx, s, q) {
		if err != nil {
			_ = out.write(answered[*nothing]{Error: wire(err)})
			return
		}
		if out.write(answered[A]{Answer: a}) != nil {
			return // the caller has left
		}
	}
	_ = out.write(map[string]bool{"end": true})
}

// lines are the answers of a listing on their way.
type lines struct {
	w       http.ResponseWriter
	to      *http.ResponseController
	encoder *json.Encoder
	events  bool // server-sent ones
}

// write sends one answer at once: the next one may be long in coming.
func (l *lines) write(v any) error {
	if l.events {
		if _, err := fmt.Fprint(l.w, "data: "); err != nil {
			return err
		}
	}
	if err := l.encoder.Encode(v); err != nil {
		return err
	}
	if l.events {
		if _, err := fmt.Fprintln(l.w); err != nil {
			return err
		}
	}
	return l.to.Flush()
}
