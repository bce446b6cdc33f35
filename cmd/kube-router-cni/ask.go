package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"kube-router/internal/model"
)

// pause is between two tries to reach a daemon that is being replaced.
const pause = 100 * time.Millisecond

// ask gets the daemon's answer. While nobody listens, or the daemon goes away before it has answered, it is
// tried again until the time is over: a daemon that is being updated is back in seconds.
func ask(socket string, most time.Duration, r model.AttachRequest) (model.AttachReply, error) {
	end := time.Now().Add(most)
	for {
		reply, err := once(socket, end, r)
		switch {
		case err == nil && reply.Error == "":
			return reply, nil
		case err == nil:
			return reply, errors.New(reply.Error)
		case time.Now().Add(pause).After(end):
			return reply, fmt.Errorf("no answer from kube-router at %s within %s: %w", socket, most, err)
		}
		time.Sleep(pause)
	}
}

func once(socket string, end time.Time, r model.AttachRequest) (reply model.AttachReply, err error) {
	conn, err := (&net.Dialer{Deadline: end}).Dial("unix", socket)
	if err != nil {
		return reply, err
	}
	defer conn.Close()
	if err = conn.SetDeadline(end); err != nil {
		return reply, err
	}
	if err = json.NewEncoder(conn).Encode(r); err != nil {
		return reply, err
	}
	err = json.NewDecoder(conn).Decode(&reply)
	return reply, err
}
