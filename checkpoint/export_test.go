package checkpoint

import "github.com/penstock-io/penstock/store"

// End shows how far a pass reaches.
func (p Pass) End() store.Position { return p.end() }
