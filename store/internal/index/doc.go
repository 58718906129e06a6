// Package index finds which events of one segment match a region, by their
// place in the segment, at a cost that follows the answer and not the segment.
//
// Events have dense ordinals 0, 1, 2 … in the order they were added. Every
// term of an event (its scope, its kind, the category of its kind, and each
// namespace level of its entity) has a posting list: the ascending ordinals of
// the events that carry it. A query intersects lists, the shortest leading, and
// seeks in them; it never walks a list from its start.
//
//	Add(offset, {order:42, shop, order.placed})
//	     |
//	     +- entity   order:42     -> 7 19 20 …      every list is a run of
//	     |           order        -> 0 1 3 7 …      4-byte little-endian
//	     +- scope    shop         -> 0 1 2 3 …      ordinals, appended to
//	     +- kind     order.placed -> 0 7 …
//	                 order        -> 0 1 3 7 …      (category)
//	     |
//	  Active  -- Footer -->  bytes  -- OpenSealed -->  Sealed
//
// An event may point at others by their ids, at its cause and at what it is correlated
// with: Linked finds those that point at one. Few events do, and fewer are asked for, so
// in a growing index these links are rows in the order of the events, and the first
// question puts them into an order of its own.
//
// Active is the growing index: one writer, any number of readers beside it.
// Sealed is immutable and answers from the footer bytes in place, mapped or read
// in pieces: it copies no posting, builds no map and walks no table, so what it
// costs is the page or two that an answer rests on. Both give the same answers.
//
// # Exactness
//
// Select never misses a matching event. It returns an event that does not match
// in two cases only, so a caller reads the event and calls Query.Matches:
//
//   - the query's entity is deeper than eight levels: the list of its first
//     eight levels answers;
//   - a sealed index knows terms, entities and keys by a 64-bit hash: a text
//     that does not occur in the segment is taken for one that does, once in
//     2^64 for every text in the table. Two texts of one segment are never
//     confused: the footer is written with a salt under which all their hashes
//     differ.
//
// # The index blob
//
// All integers are little-endian, all checksums CRC-32C.
//
//	head      magic "pnx3", checksum of the head after this field u32,
//	          length of the head u32, salt u32, events u32, terms u32, entities u32,
//	          keys u32, words of postings u32, causes u32, correlations u32,
//	          then the checksum u32 of each block
//	body      in blocks of 4 KiB, of which the last is shorter:
//	  filters   of the terms, then of the keys
//	  terms     directory, terms    x { hash u64, count u32, place u32 }
//	  entities  directory, entities x { hash u64, last ordinal u32 }
//	  keys      directory, keys     x { hash u64, record offset u32 }; states of
//	            entities are among them, hashed as entities
//	  filter    of the causes and the correlations
//	  causes    directory, causes   x { hash u64, ordinal u32 }
//	  correlations                  as causes
//	  offsets   events x { record offset u32 }, then zeros up to a multiple of 8
//	  postings  the lists of the terms, in the order of the terms, each padded to
//	            8 bytes
//
// Rows stand by ascending hashes. A directory has 2^b + 1 entries u32, b being the
// number of bits of rows/32: entry i is the first row whose hash has at least i in
// its upper b bits, the last one is the number of rows. A filter is a Bloom filter
// in lines of 64 bytes, 12 bits for each row; see filter.go. So to find a row, or
// that there is none, takes a line, and mostly no more; else an entry and some 32
// rows.
//
// A block is checked before it is used: where it is mapped, at its first use, else
// each time that it is read. What is found wrong is the error of the question, as
// is a fault of mapped memory: the caller has the segment to make the index from.
// Bytes of a blob never leave a method.
//
// The shape of a list follows from its count. One ordinal is the place field
// itself and takes no room in postings. Otherwise place counts 8-byte words from
// the start of postings to a bitmap of all events, where that is smaller, and else
// to the ordinals as u32.
//
// Version 2, magic "pnx2", has no causes and correlations: all that belongs to them is
// not there, and what is asked of them is [ErrNoLinks], never "none". Version 1 has no
// filters, directories and checksums either: [Upgrade] makes it into a blob of version 2.
//
// The hash is FNV-1a 64 with the salt xored into the offset basis, over the text
// and then one byte that names the table or field (of a term 0 entity or namespace,
// 1 scope, 2 kind, 3 category; 4 entities, 5 keys), finished by the 64-bit mixer of
// MurmurHash3. The salt is the smallest that separates the segment's texts.
//
// An id is hashed as two u64, low and high: mix(low ^ mix(high + which)), where which is 0
// for a cause and 1 for a correlation, and mix that finisher. Rows of the same hash ascend
// by ordinal.
//
// # The sides blob
//
//	header    magic "pns2", count u32
//	sides     count x { record offset u32, length of the value u32, revision u64,
//	                    length of the key u16, flags u8, zero u8,
//	                    key, value if it is inline }              ascending keys
//
// Flags: 1 deleted, 2 the value is inline, which it is if it has at most 64 bytes.
// So a store opens without reading a record. Version 1, which is only read, has to
// be looked up for more:
//
//	header    magic "pns1", count u32
//	sides     count x { record offset u32, length of the key u32, key }
//
// # What it does not know
//
// Files, payloads, positions, other segments, and what is visible to whom: the
// caller adds events before it publishes them, queries only below what is
// published, and protects the sides with a checksum.
//
// The package starts no goroutine. It has one lock, in Active, held for map
// look-ups and appends and never while a list is read, and one for those who ask for
// links, taken before it.
package index
