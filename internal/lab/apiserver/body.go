package apiserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const protobufType = "application/vnd.kubernetes.protobuf"

// body is the request's body, whatever it is.
func (c *call) body() ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if err != nil {
		return nil, apierrors.NewRequestEntityTooLargeError(err.Error())
	}
	return raw, nil
}

// media is the type of the body, without its parameters.
func (c *call) media() string {
	typ, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil {
		return c.r.Header.Get("Content-Type")
	}
	return typ
}

// bodyAs is the body as JSON. A protobuf body, which some kubectl commands send, is read into the given object first; YAML and JSON go
// by unread, so that unknown fields survive to be complained about.
func (c *call) bodyAs(into any) ([]byte, error) {
	raw, err := c.body()
	if err != nil || len(raw) == 0 {
		return raw, err
	}
	switch typ := c.media(); typ {
	case "", runtime.ContentTypeJSON:
		return raw, nil
	case runtime.ContentTypeYAML:
		if raw, err = yaml.YAMLToJSON(raw); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		return raw, nil
	case protobufType:
		return fromProtobuf(raw, into)
	default:
		return nil, unsupportedMedia(typ)
	}
}

// fromProtobuf opens the API's envelope: four magic bytes, then a runtime.Unknown that holds the object and names its kind.
func fromProtobuf(raw []byte, into any) ([]byte, error) {
	var envelope runtime.Unknown
	message, ok := into.(interface{ Unmarshal([]byte) error })
	inner, magic := bytes.CutPrefix(raw, []byte("k8s\x00"))
	if !ok || !magic {
		return nil, unsupportedMedia(protobufType)
	}
	if err := envelope.Unmarshal(inner); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("decoding protobuf: %v", err))
	}
	if err := message.Unmarshal(envelope.Raw); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("decoding protobuf %s: %v", envelope.Kind, err))
	}
	if obj, ok := into.(runtime.Object); ok {
		obj.GetObjectKind().SetGroupVersionKind(envelope.GroupVersionKind())
	}
	return json.Marshal(into)
}

func unsupportedMedia(typ string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType,
		Reason: metav1.StatusReasonUnsupportedMediaType, Message: fmt.Sprintf("the body of the request was in an unknown format - %q", typ)}}
}
