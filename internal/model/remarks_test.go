package model

import (
	"reflect"
	"testing"
)

// TestRemarksOfEveryKind: whatever kind has remarks, they are found at the object and in the model.
func TestRemarksOfEveryKind(t *testing.T) {
	m := New(Settings{})
	v, kinds := reflect.ValueOf(m).Elem(), 0
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || f.Type.Kind() != reflect.Map || f.Type.Elem().Kind() != reflect.Pointer {
			continue
		}
		if _, has := f.Type.Elem().Elem().FieldByName("Remarks"); !has {
			continue
		}
		kinds++
		o := reflect.New(f.Type.Elem().Elem())
		o.Elem().FieldByName("Remarks").Set(reflect.ValueOf([]Remark{{Message: f.Name}}))
		v.Field(i).SetMapIndex(reflect.Zero(f.Type.Key()), o)
		if list := RemarksOf(o.Interface().(Object)); len(list) != 1 {
			t.Errorf("%s: the remark isn't found at the object", f.Name)
		}
	}
	if got := len(m.Remarks()); kinds < 10 || got != kinds {
		t.Errorf("%d kinds have remarks, and the model has those of %d", kinds, got)
	}
}
