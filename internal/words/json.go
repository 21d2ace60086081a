package words

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// schema is the version of the JSON that natlb's own words print: it changes
// when old readers would misread.
const schema = 1

// printJSON writes v, which is an object, on a line of its own with the schema
// at its head.
func printJSON(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	head := fmt.Sprintf(`{"schema":%d`, schema)
	if !bytes.Equal(text, []byte("{}")) {
		head += ","
	}
	_, err = fmt.Fprintf(w, "%s%s\n", head, text[1:])
	return err
}
