// Package podstream speaks the protocols in which kubectl reaches into a pod, from the server's end: a command with its standard streams
// and terminal (exec), and connections to a pod's ports (port-forward). Both come over a WebSocket from today's clients (KEP-4006) and
// over SPDY/3.1 from older ones. What runs or is dialled is the caller's affair.
package podstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/remotecommand"
)

// Size is the size of a terminal in characters.
type Size struct{ Width, Height uint16 }

// Streams are a command's standard streams; what wasn't asked for is nil. With a terminal there is no Stderr, and Resize tells the sizes.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Resize         <-chan Size
}

// Want says which streams the client asks for.
type Want struct{ Stdin, Stdout, Stderr, TTY bool }

// Exit is the error of a command that ended with another exit code than 0.
type Exit int

// Error says the code.
func (e Exit) Error() string { return fmt.Sprintf("command terminated with exit code %d", int(e)) }

// Run runs a command to its end; the context ends when the client is gone.
type Run func(context.Context, Streams) error

// Exec answers a request for a command. The answer begins when the streams stand, so what is wrong before that must be said before.
func Exec(w http.ResponseWriter, r *http.Request, want Want, run Run) {
	if want.TTY {
		want.Stderr = false
	}
	if websocket.IsWebSocketUpgrade(r) {
		execWebSocket(w, r, want, run)
	} else {
		execSPDY(w, r, want, run)
	}
}

// verdict is how a command ended, as clients since protocol 4 read it.
func verdict(err error) []byte {
	status := metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess}
	var exit Exit
	switch {
	case errors.As(err, &exit):
		status.Status, status.Reason, status.Message = metav1.StatusFailure, remotecommand.NonZeroExitCodeReason, err.Error()
		status.Details = &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: remotecommand.ExitCodeCauseType, Message: strconv.Itoa(int(exit))}}}
	case err != nil:
		status.Status, status.Reason, status.Code = metav1.StatusFailure, metav1.StatusReasonInternalError, http.StatusInternalServerError
		status.Message = "error executing command in container: " + err.Error()
	}
	text, err := json.Marshal(status)
	if err != nil {
		return []byte(`{"status":"Failure","message":"the verdict can't be told"}`)
	}
	return text
}

// sizes reads the client's terminal sizes, JSON objects one after the other, until its stream ends.
func sizes(ctx context.Context, from io.Reader) <-chan Size {
	to := make(chan Size)
	go func() {
		defer close(to)
		for text := json.NewDecoder(from); ; {
			var s Size
			if text.Decode(&s) != nil {
				return
			}
			select {
			case to <- s:
			case <-ctx.Done():
				return
			}
		}
	}()
	return to
}
