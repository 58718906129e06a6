package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// town is the services that the shop depends on, and a client of them. They run in this process, so
// that there is nothing to start, and die with it; all that they share with the shop is HTTP.
type town struct {
	client   *http.Client
	services []*service
	servers  []*http.Server
	ended    chan error        // of each server
	homes    map[string]string // URL by action
}

// offer is what a service does.
type offer struct {
	service string
	actions []string
}

func offers() []offer {
	return []offer{
		{"stock", []string{reserve, pack}},
		{"payment", []string{charge, invoice}},
		{"shipping", []string{label, ship}},
	}
}

func openTown(ctx context.Context, o options) (_ *town, err error) {
	t := &town{
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		ended:  make(chan error, len(offers())), homes: make(map[string]string),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	for _, offer := range offers() {
		s, err := openService(ctx, o.dir, offer.service, o.faults)
		if err != nil {
			return nil, err
		}
		t.services = append(t.services, s)
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
		t.servers = append(t.servers, server)
		go func() { t.ended <- server.Serve(listener) }() // ends with close
		for _, action := range offer.actions {
			t.homes[action] = "http://" + listener.Addr().String()
		}
	}
	return t, nil
}

// close ends all requests and closes the databases.
func (t *town) close() (err error) {
	t.client.CloseIdleConnections()
	for _, server := range t.servers {
		err = errors.Join(err, server.Close())
	}
	for range t.servers {
		if ended := <-t.ended; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
	}
	for _, s := range t.services {
		err = errors.Join(err, s.db.Close())
	}
	return err
}

// errRefused is the error of a request that a service refuses, and will refuse again.
var errRefused = errors.New("refused")

// put asks for an action, and returns the reference that its service has for it.
func (t *town) put(ctx context.Context, action, key string, e entry) (string, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	return t.request(ctx, http.MethodPut, action, key, body)
}

// delete asks for an action to be taken back.
func (t *town) delete(ctx context.Context, action, key string) error {
	_, err := t.request(ctx, http.MethodDelete, action, key, nil)
	return err
}

func (t *town) request(ctx context.Context, method, action, key string, body []byte) (string, error) {
	to := t.homes[action] + "/" + action + "/" + url.PathEscape(key)
	request, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	response, err := t.client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	said := strings.TrimSpace(string(text))
	switch {
	case err != nil:
		return "", err
	case response.StatusCode == http.StatusConflict:
		return "", fmt.Errorf("%w: %s", errRefused, said)
	case response.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s: %s", response.Status, said)
	}
	return said, nil
}
