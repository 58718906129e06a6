package sagatest

// Story is [saga.Instances.Story]; it fails the test where that fails.
func (r *Run[S]) Story(key string) string {
	r.tb.Helper()
	text, err := r.Instances().Story(r.tb.Context(), key)
	if err != nil {
		r.tb.Fatalf("sagatest: %v", err)
	}
	return text
}

// told is what is read of the payload of an event of a saga's own.
type told struct {
	Step  string `json:"step"`
	Undo  bool   `json:"undo"`
	Timer string `json:"timer"`
}
