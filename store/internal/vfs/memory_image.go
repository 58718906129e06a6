package vfs

import (
	"bytes"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
)

// Seeds of Image with a fixed meaning; every other value draws at random. All
// operations in flight count as unsynced changes, the last of their file.
const (
	// KeepNothing loses all that was not synced.
	KeepNothing uint64 = iota
	// KeepAll loses nothing, as if the kernel had written everything just in time.
	KeepAll
	// KeepLast keeps all names, and of each file's unsynced changes only the last,
	// whole: later batches survive while earlier ones do not.
	KeepLast
	// KeepFirst keeps all names, and of each file's unsynced changes only the
	// first, whole.
	KeepFirst
)

// sectorSize is what a disk writes whole or not at all, aligned to the file offset.
const sectorSize = 512

// directory maps base names to inodes. Its own existence is durable.
type directory struct {
	lock    *memoryLock       // that is held, if any
	names   map[string]*inode // what the program sees
	synced  map[string]*inode // what every power cut leaves
	changes []nameChange      // leads from synced to names
}

// nameChange is a creation (no from), a removal (no to) or a rename.
type nameChange struct {
	from, to string
	inode    *inode
	replaced *inode // what to named before, nil if nothing
}

func (d *directory) change(c nameChange) {
	d.changes = append(d.changes, c)
	c.apply(d.names)
}

func (d *directory) sync() {
	for _, c := range d.changes {
		c.apply(d.synced)
	}
	clear(d.changes)
	d.changes = d.changes[:0]
}

func (c nameChange) apply(names map[string]*inode) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.inode
	}
}

// fits reports whether the names mean what they meant when the program made the
// change. Where an earlier change was lost they may not, and then applying this one
// could return an inode two names, or take away one that was never removed.
func (c nameChange) fits(names map[string]*inode) bool {
	return (c.from == "" || names[c.from] == c.inode) &&
		(c.to == "" || names[c.to] == c.replaced)
}

// Image returns the disk as the next boot finds it: after the power cut, or now if
// there was none. It has no faults, no locks, unlimited capacity and numbers its
// operations from 1; all it holds is durable. The same seed gives the same image.
// The Memory itself is not changed.
//
// A random seed loses a quarter of the unsynced writes, keeps a quarter whole, and
// tears the others: each sector has an even chance by itself.
func (m *Memory) Image(seed uint64) *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	img := NewMemory()
	// In sorted order, so that the inodes get the same ids each time, and the images of
	// the image are the same too.
	for _, path := range slices.Sorted(maps.Keys(m.dirs)) {
		to, names := img.dirs.add(path), m.dirs[path].image(path, seed)
		for _, base := range slices.Sorted(maps.Keys(names)) {
			img.nextID++
			n := newInode(img.nextID, names[base].image(seed))
			to.names[base], to.synced[base] = n, n
		}
	}
	for _, path := range m.unfinished[:m.reached(seed)] {
		img.dirs.add(path)
	}
	return img
}

// reached is how many directories an interrupted MkdirAll made.
func (m *Memory) reached(seed uint64) int {
	switch {
	case seed == KeepNothing:
		return 0
	case seed <= KeepFirst:
		return len(m.unfinished)
	}
	return prng(seed, 0).IntN(len(m.unfinished) + 1)
}

// image chooses among the unsynced names.
func (d *directory) image(path string, seed uint64) map[string]*inode {
	names := maps.Clone(d.synced)
	if seed == KeepNothing {
		return names
	}
	id := fnv.New64a()
	_, _ = id.Write([]byte(path)) // never fails
	rng := prng(seed, id.Sum64())
	for _, c := range d.changes {
		if (seed <= KeepFirst || coin(rng)) && c.fits(names) {
			c.apply(names)
		}
	}
	return names
}

// image chooses among the unsynced bytes.
func (n *inode) image(seed uint64) []byte {
	content := bytes.Clone(n.durable)
	rng := prng(seed, n.id)
	for i, c := range n.changes {
		switch {
		case seed > KeepFirst:
			content = c.survive(content, rng)
		case seed == KeepAll,
			seed == KeepFirst && i == 0,
			seed == KeepLast && i == len(n.changes)-1:
			content = c.apply(content)
		}
	}
	return content
}

// survive applies a random part of the change.
func (c change) survive(content []byte, rng *rand.Rand) []byte {
	if c.truncate {
		if coin(rng) {
			content = c.apply(content)
		}
		return content
	}
	switch rng.IntN(4) {
	case 0: // lost
	case 1:
		return c.apply(content)
	default:
		content = c.tear(content, rng)
	}
	if end := c.off + int64(len(c.data)); end > int64(len(content)) && coin(rng) {
		content = resize(content, end) // the length survived, its bytes did not
	}
	return content
}

// tear applies each sector of a write or not.
func (c change) tear(content []byte, rng *rand.Rand) []byte {
	off, data := c.off, c.data
	for len(data) > 0 {
		n := min(sectorSize-off%sectorSize, int64(len(data)))
		if coin(rng) {
			content = put(content, off, data[:n])
		}
		off, data = off+n, data[n:]
	}
	return content
}

// prng returns each inode and directory its own sequence, so that the fate of one
// does not hang on what happened to another.
func prng(seed, id uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, id)) }

func coin(rng *rand.Rand) bool { return rng.Uint64()&1 == 0 }
