package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
)

// The exit codes; the package comment says more of them.
const (
	exitFine = iota
	exitFailed
	exitUsage
	exitNotFound
	exitRefused
	exitFinding
	exitDamage
	exitUnreachable
	exitUnknown
)

// exitOf is the one table from what an error means to what the process says.
func exitOf(c admin.Code) int {
	switch c {
	case admin.Usage:
		return exitUsage
	case admin.NotFound:
		return exitNotFound
	case admin.Refused, admin.Forbidden:
		return exitRefused
	case admin.Damage:
		return exitDamage
	case admin.Unreachable:
		return exitUnreachable
	case admin.Unknown:
		return exitUnknown
	case admin.Failed:
	}
	return exitFailed
}

// ExitCode returns the exit code of a process whose command, of [New], has returned err. Errors of
// other commands are 1.
func ExitCode(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, &e):
		return e.code
	}
	return exitFailed
}

// exitError is an error that was printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// errFinding says that a person is needed. Its text is the answer.
var errFinding = errors.New("something needs a person")

// failed prints an error, and returns it as one that was printed.
func (a *app) failed(cmd *cobra.Command, err error) error {
	e := &admin.Error{Code: admin.CodeOf(err), Text: err.Error()}
	if said := new(admin.Error); errors.As(err, &said) {
		e.Text, e.Hint = said.Text, said.Hint
	}
	stderr := cmd.ErrOrStderr()
	text := strings.Split(strings.TrimSpace(e.Text), "\n")
	for i := range text {
		text[i] = render.Plain(text[i])
	}
	_, _ = fmt.Fprintf(stderr, "%s: %s\n", cmd.CommandPath(), strings.Join(text, "\n  "))
	if e.Hint != "" {
		_, _ = fmt.Fprintf(stderr, "hint: %s\n", render.Plain(e.Hint))
	}
	if a.format() != render.Text {
		a.failedJSON(cmd, e, err)
	}
	return &exitError{exitOf(e.Code), err}
}

func (a *app) failedJSON(cmd *cobra.Command, e *admin.Error, err error) {
	members := make(map[string]any)
	if part := new(render.PartialError); errors.As(err, &part) {
		members["schema"] = render.SchemaName(part.Name)
		for name, value := range part.Members {
			members[name] = value
		}
	}
	members["error"] = e
	object, err := json.Marshal(members)
	if err == nil {
		p := a.printer(cmd)
		_ = p.Raw(object) // there is no other place to say so
	}
}

// usage is an error of the arguments.
func usage(hint, format string, values ...any) error {
	return &admin.Error{Code: admin.Usage, Text: fmt.Sprintf(format, values...), Hint: hint}
}

// unknownCommand is the error of a word that is no command below this one.
func unknownCommand(cmd *cobra.Command, args []string) error {
	hint := cmd.CommandPath() + " --help lists the commands"
	if len(args) == 0 {
		return usage(hint, "a command is missing")
	}
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, ", ") + "?"
	}
	return usage(hint, "there is no command %q", args[0])
}
