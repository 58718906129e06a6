package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
)

// remote asks a surface of another process.
type remote struct {
	base   string // of the URL, up to v1/
	token  string // "" for none
	client *http.Client
}

// maxAnswer bounds one answer that is not a list.
const maxAnswer = 64 << 20

// answered is an answer that is not a list.
type answered[A any] struct {
	Answer A      `json:"answer"`
	Error  *Error `json:"error,omitempty"`
}

// ask asks a question, and takes its answer in.
func (r *remote) ask(ctx context.Context, name string, access Access, q, a any) error {
	response, err := r.send(ctx, name, access, q)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	var said answered[json.RawMessage]
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err == nil {
		err = json.Unmarshal(body, &said)
	}
	switch {
	case err != nil:
		return r.lost(ctx, access, fmt.Errorf("%s: %w", response.Status, err))
	case said.Error != nil:
		return said.Error
	}
	return json.Unmarshal(said.Answer, a)
}

// send sends a question: one that changes something as a POST, others as a GET, which caches and
// people understand.
func (r *remote) send(ctx context.Context, name string, access Access, q any) (*http.Response, error) {
	method, address, body := http.MethodGet, r.base+name, io.Reader(nil)
	content, err := json.Marshal(q)
	if err != nil {
		return nil, fail(Usage, "", "%v", err)
	}
	if access == Control {
		method, body = http.MethodPost, bytes.NewReader(content)
	} else if string(content) != "{}" {
		address += "?q=" + url.QueryEscape(string(content))
	}
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	if r.token != "" {
		request.Header.Set("Authorization", "Bearer "+r.token)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, r.lost(ctx, access, err)
	}
	return response, nil
}

// lost is an answer that did not come.
func (r *remote) lost(ctx context.Context, access Access, err error) error {
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	if access == Control {
		return &Error{Code: Unknown, Text: "no answer: " + err.Error(), Hint: "look at the audit events before it is asked again", err: err}
	}
	return &Error{Code: Unreachable, Text: "no answer: " + err.Error(), err: err}
}

// listen asks for a list, a line of JSON for each of its values.
func listen[A any](ctx context.Context, r *remote, name string, q any) iter.Seq2[A, error] {
	return func(yield func(A, error) bool) {
		var none A
		response, err := r.send(ctx, name, Read, q)
		if err != nil {
			yield(none, err)
			return
		}
		defer func() { _ = response.Body.Close() }()
		lines := bufio.NewReaderSize(response.Body, 64<<10)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				yield(none, r.lost(ctx, Read, io.ErrUnexpectedEOF))
				return
			}
			var said struct {
				answered[A]

				End bool `json:"end"`
			}
			switch err := json.Unmarshal(line, &said); {
			case err != nil:
				yield(none, r.lost(ctx, Read, err))
				return
			case said.Error != nil:
				yield(none, said.Error)
				return
			case said.End || !yield(said.Answer, nil):
				return
			}
		}
	}
}
