// Renders a chart as Helm does, with the engine that Helm uses (text/template), for tests where there is no helm.
// The functions are those that our chart calls, after Helm's documentation; any other is an error when it is parsed.
//
//	go run main.go TEMPLATES < {"Values": ..., "Release": ..., "Chart": ...}
//
// Prints a JSON object: file -> text.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"text/template"
)

func empty(value any) bool {
	found := reflect.ValueOf(value)
	return !found.IsValid() || found.IsZero()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	root := template.New("chart").Option("missingkey=zero")
	root.Funcs(template.FuncMap{
		"include": func(name string, data any) (string, error) {
			var out strings.Builder
			err := root.ExecuteTemplate(&out, name, data)
			return out.String(), err
		},
		"default": func(otherwise, value any) any {
			if empty(value) {
				return otherwise
			}
			return value
		},
		"list":       func(items ...any) []any { return items },
		"quote":      func(value any) string { return fmt.Sprintf("%q", fmt.Sprint(value)) },
		"hasKey":     func(of map[string]any, key string) bool { _, there := of[key]; return there },
		"trimSuffix": func(suffix, text string) string { return strings.TrimSuffix(text, suffix) },
		"toYaml": func(value any) (string, error) { // JSON is YAML
			text, err := json.Marshal(value)
			return string(text), err
		},
		"nindent": func(by int, text string) string {
			pad := strings.Repeat(" ", by)
			return "\n" + pad + strings.ReplaceAll(text, "\n", "\n"+pad)
		},
	})
	paths, err := filepath.Glob(filepath.Join(os.Args[1], "*"))
	check(err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		check(err)
		_, err = root.New(filepath.Base(path)).Parse(string(text))
		check(err)
	}
	var data map[string]any
	check(json.NewDecoder(os.Stdin).Decode(&data))
	rendered := map[string]string{}
	for _, path := range paths {
		var out strings.Builder
		check(root.ExecuteTemplate(&out, filepath.Base(path), data))
		rendered[filepath.Base(path)] = out.String()
	}
	check(json.NewEncoder(os.Stdout).Encode(rendered))
}
