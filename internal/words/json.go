package words

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"natlb/internal/ipvsadm"
)

// printJSON writes v, which is an object, on a line of its own with the schema
// at its head.
func printJSON(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	head := fmt.Sprintf(`{"schema":%d`, ipvsadm.Schema)
	if !bytes.Equal(text, []byte("{}")) {
		head += ","
	}
	_, err = fmt.Fprintf(w, "%s%s\n", head, text[1:])
	return err
}
