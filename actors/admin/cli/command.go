package cli

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
)

// argument is one that stands after the target.
type argument struct {
	name     string
	complete func(*call) []string // nil: it is not completed
}

// spec is one command.
type spec struct {
	name    string
	short   string
	long    string // what short does not say, "" for nothing
	example string // arguments of one call, with $T for the target
	args    []argument
	// many allows any number of positions of events after the arguments.
	many bool
	// free has no target.
	free bool
	// One of these runs it.
	run    func(*call) (render.Answer, error)
	change func(*call, admin.Act) (*Change, error)
	flags  func(*cobra.Command)
}

// call is one run of a command.
type call struct {
	*app

	ctx    context.Context //nolint:containedctx // a call lives as long as its context
	cmd    *cobra.Command
	target string   // "" of a command without one
	first  bool     // the target was the first argument
	args   []string // after the target
	opened *admin.Surface
}

// command returns the command of a spec.
func (a *app) command(s spec) *cobra.Command {
	cmd := &cobra.Command{
		Use: s.use(), Short: s.short, Long: strings.TrimSpace(s.short + ".\n\n" + s.long), Args: cobra.ArbitraryArgs,
		SilenceErrors: true, SilenceUsage: true, DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error { return a.execute(cmd, &s, args) },
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return a.complete(cmd, &s, args)
		},
	}
	if s.flags != nil {
		s.flags(cmd)
	}
	if s.change != nil {
		changeFlags(cmd)
	}
	a.completeFlags(cmd, &s)
	return cmd
}

// use is as in "show [TARGET] WORKER [flags]".
func (s *spec) use() string {
	words := []string{s.name}
	if !s.free {
		words = append(words, "[TARGET]")
	}
	for _, arg := range s.args {
		words = append(words, arg.name)
	}
	if s.many {
		words = append(words, "[POSITION..]")
	}
	return strings.Join(append(words, "[flags]"), " ")
}

// execute runs a command and prints its answer.
func (a *app) execute(cmd *cobra.Command, s *spec, args []string) error {
	c := &call{app: a, ctx: cmd.Context(), cmd: cmd}
	if c.ctx == nil {
		c.ctx = context.Background()
	}
	if a.flags.timeout > 0 {
		ctx, done := context.WithTimeout(c.ctx, a.flags.timeout)
		defer done()
		c.ctx = ctx
	}
	defer c.close()
	err := c.understand(s, args)
	if err == nil {
		err = c.answer(s)
	}
	if err == nil || errors.Is(err, errFinding) {
		return err
	}
	return a.failed(cmd, err)
}

func (c *call) answer(s *spec) error {
	if s.change != nil {
		return c.make(s.change)
	}
	out, err := s.run(c)
	if err != nil || out == nil { // nil: it has written to stdout itself
		return err
	}
	if err := c.printer(c.cmd).Print(out); err != nil {
		return err
	}
	if e, ok := out.(exiter); ok && e.exit() != exitFine {
		return &exitError{e.exit(), errFinding}
	}
	return nil
}

// exiter is an answer that was found, and ends the process with another code than 0 all the same.
type exiter interface{ exit() int }

func (c *call) close() {
	if c.opened != nil {
		_ = c.opened.Close() // it was read from
	}
}

// understand finds out which argument is what.
func (c *call) understand(s *spec, args []string) error {
	switch c.flags.json {
	case "", jsonObject, jsonLines:
	default:
		return usage("write --json or --json=lines", "--json has no form %q", c.flags.json)
	}
	first := !s.free && len(args) > len(s.args) && (!s.many || !isPosition(args[len(s.args)]))
	if first {
		c.target, c.first, args = args[0], true, args[1:]
	} else if !s.free {
		c.target = c.given()
	}
	c.args = args
	form := "the form is: " + c.cmd.CommandPath() + strings.TrimPrefix(s.use(), s.name)
	switch {
	case len(args) < len(s.args):
		return usage(form, "%s is missing", s.args[len(args)].name)
	case len(args) > len(s.args) && !s.many:
		return usage(form, "%q is an argument too many", args[len(args)-1])
	case !s.free && c.target == "":
		return usage("give the directory of the store, or a URL, before the other arguments, or set "+targetVariable, "TARGET is missing")
	}
	for _, at := range args[len(s.args):] {
		if !isPosition(at) {
			return usage(form, "%q is no position of an event", at)
		}
	}
	return nil
}

// given is the target that is no argument, "" for none.
func (a *app) given() string {
	if a.flags.target != "" {
		return a.flags.target
	}
	return os.Getenv(targetVariable)
}

// isPosition reports whether a word is the position of an event.
func isPosition(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// surface opens the target, once.
func (c *call) surface() (*admin.Surface, error) {
	if c.opened != nil {
		return c.opened, nil
	}
	o := admin.OpenOptions{Options: admin.Options{Redact: c.options.Redact, Sagas: c.options.Sagas}}
	if c.flags.tokenFile != "" {
		token, err := os.ReadFile(c.flags.tokenFile)
		if err != nil {
			return nil, err
		}
		o.Token = strings.TrimSpace(string(token))
	}
	s, err := admin.Open(c.ctx, c.target, o)
	if err != nil {
		return nil, err
	}
	c.opened = s
	return s, nil
}

// look opens the target, and says how it is seen.
func (c *call) look() (*admin.Surface, admin.View, error) {
	s, err := c.surface()
	if err != nil {
		return nil, admin.View{}, err
	}
	v, err := s.View(c.ctx)
	return s, c.seen(v), err
}

// seen adds to a view what this side knows.
func (c *call) seen(v admin.View) admin.View {
	if v.Directory == "" {
		v.Directory = c.target
	}
	return v
}

// next is a command line that can be typed after this one, for the same target.
func (c *call) next(words ...string) string {
	found, rest, err := c.root.Find(words)
	if err != nil {
		found, rest = c.root, words
	}
	out := []string{found.CommandPath()}
	switch {
	case c.first:
		out = append(out, quoted(c.target))
	case c.flags.target != "":
		out = append(out, "--target", quoted(c.target))
	}
	for _, word := range rest {
		out = append(out, quoted(word))
	}
	return strings.Join(out, " ")
}

// quoted is a word for a shell.
func quoted(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@=,%+", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
