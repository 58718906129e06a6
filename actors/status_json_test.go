package actors_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
)

func TestAStateIsItsNameInJSON(t *testing.T) {
	text, err := json.Marshal(map[string]actors.State{"state": actors.Retrying})
	require.NoError(t, err)
	require.JSONEq(t, `{"state": "retrying"}`, string(text))
}
