package cli

import (
	"encoding/json"
	"io"
	"os"
	"slices"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
	"github.com/penstock-io/penstock/store"
)

// targetVariable is the environment's way to say --target.
const targetVariable = "PENSTOCK_TARGET"

// Options of the command. The zero value is that of the program penstock.
type Options struct {
	// Name of the command, "" for penstock.
	Name string
	// Redact returns the payload of an event as operators may see it; nil shows it as it is. It is
	// for logs that the command reads itself: a process that is asked has its own (admin.Options).
	Redact func(store.Event) []byte
	// Sagas are those of the program, for logs that the command reads itself. Without their
	// definitions less is seen of them, and nothing asked: see [admin.Options].
	Sagas []admin.Saga
	// Decode returns the payload of an event as JSON, where it is neither JSON nor nothing, as of a
	// protocol buffer. An error, or nil, leaves it as it is.
	Decode func(admin.Event) (json.RawMessage, error)
}

// New returns the command, with all that are below it. See [ExitCode] for what its errors mean; it
// has printed them.
func New(o Options) *cobra.Command { return newApp(o).root }

// app is one command with its flags.
type app struct {
	options Options
	root    *cobra.Command
	now     func() time.Time
	typed   func() []string // the arguments of the process, as they were given
	flags   struct {
		target, json, tokenFile string
		quiet                   bool
		timeout                 time.Duration
	}
}

func newApp(o Options) *app {
	if o.Name == "" {
		o.Name = "penstock"
	}
	a := &app{options: o, now: time.Now, typed: func() []string { return os.Args[1:] }}
	a.root = a.group(o.Name, "Look at a Penstock event log and its workers, and operate them",
		statusCommand(a), topCommand(a), stuckCommand(a), tailCommand(a), getCommand(a), whyCommand(a), effectsCommand(a), traceCommand(a), historyCommand(a), workerCommand(a), parkedCommand(a), auditCommand(a),
		explainCommand(a), sagaCommand(a),
		appendCommand(a), storeCommand(a), versionCommand(a), completionCommand(a))
	a.root.Long = rootHelp
	a.root.CompletionOptions.DisableDefaultCmd = true
	a.root.SetFlagErrorFunc(a.flagError)
	f := a.root.PersistentFlags()
	f.StringVarP(&a.flags.target, "target", "t", "", "directory or URL of the store, where it is not the first argument (PENSTOCK_TARGET)")
	f.StringVar(&a.flags.json, "json", "", "print JSON: one object, or with --json=lines a line for each value")
	f.Lookup("json").NoOptDefVal = jsonObject
	f.StringVar(&a.flags.tokenFile, "token-file", "", "file with the token for a URL")
	f.BoolVarP(&a.flags.quiet, "quiet", "q", false, "show no progress")
	f.DurationVar(&a.flags.timeout, "timeout", 0, "how long to wait for an answer, as 30s; 0 for any time")
	return a
}

const rootHelp = `Look at a Penstock event log and its workers, and operate them.

The first argument of most commands is the target: the directory of a store, or the URL of an admin
handler. It may be left out where --target or PENSTOCK_TARGET says it. Where a process runs the
store, that process is asked; otherwise the log itself is read. The first line says which.

Exit codes: 0 fine, 1 failed, 2 not understood, 3 not found, 4 refused, 5 something needs a person,
6 damaged, 7 no answer, 8 whether it was done cannot be told.`

// The values of --json.
const (
	jsonObject = "object"
	jsonLines  = "lines"
)

// group is a command that has commands below it, and does nothing itself.
func (a *app) group(name, short string, below ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: name, Short: short, Args: cobra.ArbitraryArgs, SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && a.format() == render.Text {
				return cmd.Help()
			}
			return a.failed(cmd, unknownCommand(cmd, args))
		},
	}
	g.AddCommand(below...)
	return g
}

// format is how answers are printed. It is known even where the arguments could not be read.
func (a *app) format() render.Format {
	switch a.flags.json {
	case jsonLines:
		return render.Lines
	case jsonObject:
		return render.JSON
	}
	for _, word := range a.words() {
		switch word {
		case "--json=" + jsonLines:
			return render.Lines
		case "--json":
			return render.JSON
		}
	}
	return render.Text
}

// words are the arguments up to "--".
func (a *app) words() []string {
	line := a.typed()
	if end := slices.Index(line, "--"); end >= 0 {
		return line[:end]
	}
	return line
}

// flagError is what cobra calls with arguments that it could not read. Help wins.
func (a *app) flagError(cmd *cobra.Command, err error) error {
	if words := a.words(); slices.Contains(words, "--help") || slices.Contains(words, "-h") {
		return pflag.ErrHelp
	}
	return a.failed(cmd, usage("", "%v", err))
}

// printer prints on the output of a command.
func (a *app) printer(cmd *cobra.Command) *render.Printer {
	out := cmd.OutOrStdout()
	p := &render.Printer{To: out, Format: a.format(), Now: a.now(), Style: lipgloss.NewRenderer(out)}
	if f, ok := out.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			p.Width = width
		}
	}
	return p
}

// terminal reports whether a stream is one.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// interactive reports whether a person can be asked.
func interactive(in io.Reader, out io.Writer) bool { return terminal(in) && terminal(out) }
