package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
)

// patience is how long a completion may take.
const patience = 3 * time.Second

// complete completes the argument after args. A target is a directory; what stands after it is
// asked of the target. What cannot be found out is not completed.
func (a *app) complete(cmd *cobra.Command, s *spec, args []string) ([]string, cobra.ShellCompDirective) {
	ctx, done := context.WithTimeout(context.Background(), patience)
	defer done()
	c := &call{app: a, ctx: ctx, cmd: cmd}
	defer c.close()
	if s.free {
		return nil, cobra.ShellCompDirectiveDefault
	}
	at := len(args)
	c.target = c.given()
	if c.target == "" || at > 0 && at >= len(s.args) {
		if at == 0 {
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
		c.target, c.args, at = args[0], args[1:], at-1
	} else {
		c.args = args
	}
	if at >= len(s.args) || s.args[at].complete == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return s.args[at].complete(c), cobra.ShellCompDirectiveNoFileComp
}

// completeFlags completes the flags that name what the log has.
func (a *app) completeFlags(cmd *cobra.Command, s *spec) {
	for flag, field := range map[string]admin.NameField{
		"kind": admin.Kinds, "region-kind": admin.Kinds, "category": admin.Categories, "scope": admin.Scopes, "entity": admin.Entities,
		"worker": admin.Workers,
	} {
		if s.free || cmd.Flags().Lookup(flag) == nil {
			continue
		}
		_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			ctx, done := context.WithTimeout(context.Background(), patience)
			defer done()
			c := &call{app: a, ctx: ctx, cmd: cmd, target: a.given()}
			defer c.close()
			if len(args) > len(s.args) || c.target == "" && len(args) > 0 {
				c.target = args[0]
			}
			return names(c, field, begun), cobra.ShellCompDirectiveNoFileComp
		}) // the flag is there, so it cannot fail
	}
}

// workerNames are those of the target.
func workerNames(c *call) []string { return names(c, admin.Workers, "") }

// names are those of the target that begin with a text.
func names(c *call, field admin.NameField, begun string) []string {
	s, err := c.surface()
	if err != nil {
		return nil
	}
	at, err := s.Names(c.ctx, admin.NameQuery{Field: field, Prefix: begun, Limit: 1_000})
	if err != nil {
		return nil
	}
	names := make([]string, len(at.Names))
	for i, n := range at.Names {
		names[i] = n.Text
	}
	return names
}

// workerArgument is one that names a worker.
func workerArgument() argument { return argument{"WORKER", workerNames} }
