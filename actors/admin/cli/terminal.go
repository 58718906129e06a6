package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"
	"golang.org/x/term"
)

// What a terminal is told. The other screen leaves what was on the first one as it was.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toTheTop    = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// onTerminal shows a screen until it is over or ctx ends, and leaves the terminal as it was. The
// goroutine that reads keys ends with the next one, or with the process: a read of a terminal
// cannot be stopped.
func onTerminal(ctx context.Context, t *top, from io.Reader, to io.Writer) (err error) {
	in, isIn := from.(*os.File)
	out, isOut := to.(*os.File)
	if !isIn || !isOut {
		return errors.New("no terminal")
	}
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return err
	}
	defer func() {
		_, left := io.WriteString(out, leaveScreen)
		err = errors.Join(err, left, term.Restore(int(in.Fd()), before))
	}()
	keys := make(chan string)
	ended := make(chan struct{})
	defer close(ended)
	go readKeys(in, keys, ended)
	if _, err = io.WriteString(out, enterScreen); err != nil {
		return err
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	return t.show(ctx, keys, ticker.C, func(t *top) error {
		if width, height, err := term.GetSize(int(out.Fd())); err == nil {
			t.width, t.height = width, height
		}
		_, err := out.Write(t.draw())
		return err
	})
}

// show is the loop of a screen: it takes keys in, looks with each tick, and draws. Jobs run one
// after the other; it returns after the last of them. A key after the one that ends it waits for
// none.
func (t *top) show(ctx context.Context, keys <-chan string, ticks <-chan time.Time, draw func(*top) error) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	t.call.ctx = ctx
	done := make(chan func(), 1)
	busy := false
	queue := []job{t.look()}
	for ctx.Err() == nil && (!t.over || busy || len(queue) > 0) {
		if !busy && len(queue) > 0 {
			next := queue[0]
			queue, busy = queue[1:], true
			go func() { done <- next() }()
		}
		if err = draw(t); err != nil {
			break
		}
		select {
		case key, more := <-keys:
			if !more || t.over {
				t.over = true
				stop()
			} else if next := t.key(key); next != nil {
				queue = append(queue, next)
			}
		case <-ticks:
			if !busy && !t.over {
				queue = append(queue, t.look())
			}
		case then := <-done:
			busy = false
			then()
		case <-ctx.Done():
		}
	}
	stop()
	if busy {
		<-done
	}
	return err
}

// draw is the screen as a terminal takes it.
func (t *top) draw() []byte {
	var out bytes.Buffer
	out.WriteString(toTheTop)
	cut := lipgloss.NewStyle().MaxWidth(max(t.width, 1))
	for i, line := range t.lines() {
		if i > 0 {
			out.WriteString("\r\n")
		}
		out.WriteString(cut.Render(line) + clearLine)
	}
	out.WriteString(clearBelow)
	return out.Bytes()
}

// readKeys sends the keys of a terminal until it ends.
func readKeys(in io.Reader, keys chan<- string, ended <-chan struct{}) {
	defer close(keys)
	b := make([]byte, 256)
	for {
		n, err := in.Read(b)
		for _, key := range keysOf(b[:n]) {
			select {
			case keys <- key:
			case <-ended:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// keysOf are the keys that a terminal has sent: see [top.key].
func keysOf(b []byte) (keys []string) {
	named := []struct{ sent, key string }{
		{"\x1b[A", "up"},
		{"\x1bOA", "up"},
		{"\x1b[B", "down"},
		{"\x1bOB", "down"},
		{"\x1b", "esc"},
		{"\r", "enter"},
		{"\n", "enter"},
		{"\x7f", "backspace"},
		{"\x08", "backspace"},
		{"\x03", "ctrl+c"},
	}
next:
	for len(b) > 0 {
		if n := unknownSequence(b); n > 0 {
			b = b[n:]
			continue
		}
		for _, one := range named {
			if bytes.HasPrefix(b, []byte(one.sent)) {
				keys, b = append(keys, one.key), b[len(one.sent):]
				continue next
			}
		}
		r, n := utf8.DecodeRune(b)
		if r >= ' ' && r != utf8.RuneError {
			keys = append(keys, string(r))
		}
		b = b[n:]
	}
	return keys
}

// unknownSequence is the length of an escape sequence that is no key of ours, 0 where there is
// none: as in "\x1b[5~" for a page up.
func unknownSequence(b []byte) int {
	if len(b) < 3 || b[0] != 0x1b || b[1] != '[' || b[2] == 'A' || b[2] == 'B' {
		return 0
	}
	for i := 2; i < len(b); i++ {
		if b[i] >= 0x40 && b[i] <= 0x7e {
			return i + 1
		}
	}
	return len(b)
}
