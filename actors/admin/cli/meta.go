package cli

import (
	"bytes"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin/cli/render"
)

// Version is what is known of the program.
type Version struct {
	Module   string `json:"module"`
	Version  string `json:"version"` // "(devel)" for one that was built in a checkout
	Revision string `json:"revision,omitempty"`
	Changed  bool   `json:"changed,omitempty"` // the checkout had changes
	Go       string `json:"go"`
	System   string `json:"system"`
}

// Schema implements [render.Answer].
func (v *Version) Schema() string { return "version" }

// Text implements [render.Answer].
func (v *Version) Text(p *render.Page) {
	changed := ""
	if v.Changed {
		changed = "(with changes)"
	}
	p.Line(render.Of(v.Module), render.Of(v.Version), render.Of(v.Revision), render.Of(changed), render.Of(v.Go), render.Of(v.System))
}

func versionCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "version", short: "Say which version this is", free: true,
		run: func(*call) (render.Answer, error) {
			v := &Version{Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return v, nil
			}
			v.Module, v.Version = info.Main.Path, info.Main.Version
			for _, s := range info.Settings {
				switch s.Key {
				case "vcs.revision":
					v.Revision = s.Value
				case "vcs.modified":
					v.Changed = s.Value == "true"
				}
			}
			return v, nil
		},
	})
}

// Script is one that a shell reads.
type Script struct {
	Shell  string `json:"shell"`
	Script string `json:"script"`
}

// Schema implements [render.Answer].
func (s *Script) Schema() string { return "completion" }

// Text implements [render.Answer].
func (s *Script) Text(p *render.Page) { p.Raw([]byte(s.Script)) }

func completionCommand(a *app) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return a.command(spec{
		name: "completion", short: "Print the script that completes commands in a shell", free: true,
		args: []argument{{"bash|zsh|fish|powershell", nil}},
		long: "It completes the names of workers, too.\n\n  bash: source <(penstock completion bash)\n  zsh:  source <(penstock completion zsh)",
		run: func(c *call) (render.Answer, error) {
			var out bytes.Buffer
			var err error
			top := c.cmd.Root()
			switch c.args[0] {
			case "bash":
				err = top.GenBashCompletionV2(&out, true)
			case "zsh":
				err = top.GenZshCompletion(&out)
			case "fish":
				err = top.GenFishCompletion(&out, true)
			case "powershell":
				err = top.GenPowerShellCompletionWithDesc(&out)
			default:
				return nil, usage("there are "+strings.Join(shells, ", "), "there is no script for %q", c.args[0])
			}
			return &Script{Shell: c.args[0], Script: out.String()}, err
		},
	})
}
