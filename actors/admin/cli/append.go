package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
)

func appendCommand(a *app) *cobra.Command {
	var q admin.Append
	return a.command(spec{
		name: "append", short: "Append an event by hand",
		args: []argument{{name: "ENTITY"}, {name: "KIND"}, {name: "JSON"}},
		long: "The payload is JSON, @FILE, or - for stdin. Who did it and why is kept with the event. With --key asking again\n" +
			"appends it once.",
		example: "$T order:42 order.cancelled '{}' --scope shop --key cancel-42",
		flags: func(cmd *cobra.Command) {
			f := cmd.Flags()
			f.StringVar(&q.Scope, "scope", "", "the scope")
			f.StringVar(&q.Key, "key", "", "the idempotency key")
			f.Uint16Var(&q.Schema, "schema-version", 0, "the version of the payload's schema")
		},
		change: func(c *call, act admin.Act) (*Change, error) {
			e := q
			e.Act, e.Entity, e.Kind = act, c.args[0], c.args[1]
			var err error
			if e.JSON, err = c.content(c.args[2]); err != nil {
				return nil, err
			}
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			out, err := s.Append(c.ctx, e)
			if err != nil {
				return nil, err
			}
			done := &Change{
				View: v, Change: fmt.Sprintf("append %s of %s", e.Kind, e.Entity), Touches: []string{"all workers that handle it"},
				Final: "an event is never removed", Appended: &out,
			}
			if out.Position != 0 {
				done.Touches = append(done.Touches, fmt.Sprintf("event %d, %s", out.Position, out.ID))
			}
			return done, nil
		},
	})
}

// content is JSON that is an argument, or a file.
func (c *call) content(said string) (json.RawMessage, error) {
	b := []byte(said)
	var err error
	if name, ok := strings.CutPrefix(said, "@"); ok {
		b, err = os.ReadFile(name)
	} else if said == "-" {
		b, err = io.ReadAll(c.cmd.InOrStdin())
	}
	if err == nil && !json.Valid(b) {
		err = usage("", "the payload is not JSON")
	}
	return b, err
}
