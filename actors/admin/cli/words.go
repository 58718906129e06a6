package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// or is text, or what stands for none.
func or(text, none string) string {
	if text == "" {
		return none
	}
	return text
}

// number is one in text, "" for 0.
func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// pairs are names and values, by name.
func pairs(of map[string]string) string {
	out := make([]string, 0, len(of))
	for _, name := range slices.Sorted(maps.Keys(of)) {
		out = append(out, name+"="+of[name])
	}
	return strings.Join(out, " ")
}

// indented is JSON over lines, or as it is where it is none.
func indented(b []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, b, "", "  ") != nil {
		return string(b)
	}
	return out.String()
}

// compact is JSON on one line, or as it is where it is none.
func compact(b []byte) string {
	var out bytes.Buffer
	if json.Compact(&out, b) != nil {
		return string(b)
	}
	return out.String()
}

// settings are the members of a JSON object that are set, on one line: as in "lanes=4
// policy.attempts=10".
func settings(b []byte) string {
	var object map[string]any
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	if decoder.Decode(&object) != nil {
		return ""
	}
	out := make(map[string]string)
	flatten(out, "", object)
	return pairs(out)
}

func flatten(out map[string]string, prefix string, object map[string]any) {
	for name, value := range object {
		switch v := value.(type) {
		case map[string]any:
			flatten(out, prefix+name+".", v)
		case []any:
			if len(v) > 0 {
				out[prefix+name] = strings.Trim(fmt.Sprint(v), "[]")
			}
		default:
			if text := fmt.Sprint(v); text != "false" && text != "0" && text != "" {
				out[prefix+name] = text
			}
		}
	}
}
