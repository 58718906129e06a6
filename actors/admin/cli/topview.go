package cli

import (
	"strings"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
)

// lines are those of the screen.
func (t *top) lines() []string {
	t.style.Now, t.style.Width = t.call.now(), t.width
	page := t.style.Page()
	switch t.page {
	case details:
		t.viewDetails(page)
	case parkedPage:
		t.viewParked(page)
	case allWorkers:
		t.viewAll(page)
	}
	return t.fit(strings.Split(strings.TrimRight(page.String(), "\n"), "\n"))
}

// fit cuts a page to the height of the terminal, above the last line, which is for keys, questions
// and what has happened.
func (t *top) fit(rows []string) []string {
	room := max(t.height-1, 1)
	if t.page != allWorkers && t.height > 0 {
		t.scroll = min(t.scroll, max(len(rows)-room, 0))
		rows = rows[t.scroll:]
	}
	if t.height > 0 && len(rows) > room {
		first := 0
		for i, row := range rows {
			if strings.HasPrefix(row, marked) && i >= room {
				first = i - room + 1 // the selection is the last row
			}
		}
		if first > 0 {
			first = min(first+tableHead, len(rows)-room+tableHead)
			rows = append(rows[:tableHead:tableHead], rows[first:]...)
		}
		rows = rows[:min(room, len(rows))]
	}
	for t.height > 0 && len(rows) < room {
		rows = append(rows, "")
	}
	return append(rows, t.foot())
}

// foot is the last line.
func (t *top) foot() string {
	page := t.style.Page()
	switch {
	case t.asked != nothingAsked:
		page.Line(render.Strong.In(strings.TrimSpace(t.prompt())), render.Of(t.typed+"_"))
	case t.lost != nil:
		page.Clipped(render.Bad.In("not seen any more:"), render.Of(t.lost.Error()))
	case t.said != "":
		page.Clipped(render.Of(t.said))
	default:
		page.Clipped(render.Faint.In("↑↓ select  enter details  x parked  p pause  r resume  / filter  esc back  q quit"))
	}
	return strings.TrimRight(page.String(), "\n")
}

const (
	// marked begins the row of the selected worker.
	marked = "▸"
	// tableHead is how many lines stand above the first worker.
	tableHead = 2
)

func (t *top) viewAll(p *render.Page) {
	header(p, t.at.View)
	list := t.shown()
	rows := make([][]render.Cell, 0, len(list))
	for i := range list {
		w := &list[i]
		name, mark := w.Name, " "
		if w.Running != nil {
			name = w.Running.Path
		}
		if w.Name == t.selected {
			mark = marked
		}
		rows = append(rows, []render.Cell{
			render.Of(mark + " " + name), stateOf(w), render.Of(sinceOf(p, w)), lagOf(w), render.Of(behind(w)), count(w.Parked), position(w),
			render.Of(render.Clip(shortReason(w), 40)),
		})
	}
	p.Table([]string{"  WORKER", "STATE", "SINCE", "LAG", "OLDEST", "PARKED", "POSITION", "REASON"}, rows)
	switch {
	case t.at.Error != "":
		p.Line(render.Bad.In("the system has stopped:"), render.Of(t.at.Error))
	case t.filter != "":
		p.Line(render.Faint.In("only what has " + t.filter))
	}
}

// one is the selected worker, nil where it is gone.
func (t *top) one() *admin.Worker {
	for i := range t.at.Workers {
		if t.at.Workers[i].Name == t.selected {
			return &t.at.Workers[i]
		}
	}
	return nil
}

func (t *top) viewDetails(p *render.Page) {
	w := t.one()
	if w == nil {
		header(p, t.at.View)
		p.Line(render.Of("no worker is selected"))
		return
	}
	(&Worker{t.at.View, *w}).Text(p)
}

func (t *top) viewParked(p *render.Page) {
	if t.parked == nil {
		header(p, t.at.View)
		p.Line(render.Faint.In("looking for what " + t.selected + " keeps apart"))
		return
	}
	t.parked.Text(p)
}
