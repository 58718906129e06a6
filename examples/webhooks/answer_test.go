package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARequestThatHasComeInIsAnsweredThoughTheProgramIsToEnd(t *testing.T) {
	for name, end := range map[string]func(stop func(), fail chan struct{}){
		"by a signal":  func(stop func(), _ chan struct{}) { stop() },
		"by the store": func(_ func(), fail chan struct{}) { close(fail) },
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "localhost:0")
			require.NoError(t, err)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			begun, fail, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			go func() {
				ended <- answer(ctx, listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.ReadFull(r.Body, make([]byte, 1))
					close(begun)
					_, _ = io.Copy(w, r.Body)
				}), fail)
			}()
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
			require.NoError(t, err)
			defer func() { require.NoError(t, conn.Close()) }()
			_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\na")
			require.NoError(t, err)
			<-begun
			end(stop, fail)
			for taken := true; taken; { // until it takes no more requests
				other, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
				if taken = err == nil; taken {
					require.NoError(t, other.Close())
				}
			}
			_, err = io.WriteString(conn, "bcd")
			require.NoError(t, err)
			got, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			body, err := io.ReadAll(got.Body)
			require.NoError(t, err)
			require.NoError(t, got.Body.Close())
			require.Equal(t, "bcd", string(body))
			require.NoError(t, <-ended)
		})
	}
}
