package render

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Plain returns a text with escapes in the place of what is no graphic character.
func Plain(s string) string {
	if strings.IndexFunc(s, odd) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case odd(r):
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
		s = s[n:]
	}
	return b.String()
}

// odd are what is no graphic character, and spaces that look like nothing or like a line's end.
func odd(r rune) bool { return !unicode.IsGraphic(r) || r != ' ' && unicode.IsSpace(r) }

// Clip cuts a text to so many characters.
func Clip(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// Age is a span of time in one unit, as in "3m".
func Age(d time.Duration) string {
	units := []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}
	for _, u := range units {
		if d >= u.of {
			return fmt.Sprintf("%d%s", d/u.of, u.name)
		}
	}
	if d <= 0 {
		return "0s"
	}
	return fmt.Sprintf("%dms", (d+time.Millisecond-1)/time.Millisecond)
}

// Since is the age of a time, "" for none.
func (p *Page) Since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return Age(p.Now.Sub(t))
}

// In is how long it is until a time, as in "in 3m", or "now".
func (p *Page) In(t time.Time) string {
	if d := t.Sub(p.Now); d > 0 {
		return "in " + Age(d)
	}
	return "now"
}

// When is a time to the millisecond, in UTC, "" for none.
func When(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// Size is a number of bytes with the unit that fits, as in "12.5 MiB".
func Size(n int64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n), "KMGTPE"
	at := -1
	for value >= step && at < len(units)-1 {
		value /= step
		at++
	}
	return fmt.Sprintf("%.1f %ciB", value, units[at])
}

// Count is as in "1 event" and "2 events".
func Count[N int | int64 | uint64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
