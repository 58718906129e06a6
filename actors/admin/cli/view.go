package cli

import (
	"fmt"
	"iter"
	"path/filepath"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
)

// header says how the answer below it was found.
func header(p *render.Page, v admin.View) {
	tone := render.Good
	if v.Mode == admin.Beside {
		tone = render.Warning
	}
	how := v.Note
	switch {
	case how != "":
	case v.Mode == admin.Cold:
		how = "no process has it open"
	default:
		how = owner(v)
	}
	p.Line(tone.In(string(v.Mode)), render.Strong.In(v.Directory), render.Of("as of "+fmt.Sprint(v.AsOf)+":"), render.Of(how))
}

// owner names the process that has the store open.
func owner(v admin.View) string {
	if v.Owner == nil || v.Owner.PID == 0 {
		return "a process that did not say its name"
	}
	return fmt.Sprintf("process %d (%s)", v.Owner.PID, filepath.Base(v.Owner.Program))
}

// each are the answers that a list is printed as, one by one.
func each[T any](list []T, item func(one T) render.Answer) iter.Seq[render.Answer] {
	return func(yield func(render.Answer) bool) {
		for _, one := range list {
			if !yield(item(one)) {
				return
			}
		}
	}
}

// headed is an answer that is only how the values of a stream were found.
type headed struct {
	View admin.View `json:"view"`
}

func (h *headed) Schema() string      { return "view" }
func (h *headed) Text(p *render.Page) { header(p, h.View) }
