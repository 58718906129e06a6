package store

// requestQueue holds the requests that wait for their turn, in order. It is a list through the
// requests themselves, so that taking a group from a long queue costs what the group has, and
// one that is abandoned leaves from anywhere at once. committer.mu guards all of it.
type requestQueue struct {
	first, last *request
	length      int
	bytes       int
}

// full reports whether one more request exceeds the bounds. An empty queue has room for any.
func (q *requestQueue) full(req *request) bool {
	return q.length >= maxQueued || q.length > 0 && q.bytes+req.size > maxQueuedBytes
}

func (q *requestQueue) push(req *request) {
	req.queued, req.prev, req.next = true, q.last, nil
	if q.last == nil {
		q.first = req
	} else {
		q.last.next = req
	}
	q.last = req
	q.length++
	q.bytes += req.size
}

// remove takes out a request, which must be queued.
func (q *requestQueue) remove(req *request) {
	if req.prev == nil {
		q.first = req.next
	} else {
		req.prev.next = req.next
	}
	if req.next == nil {
		q.last = req.prev
	} else {
		req.next.prev = req.prev
	}
	req.queued, req.prev, req.next = false, nil, nil
	q.length--
	q.bytes -= req.size
}
