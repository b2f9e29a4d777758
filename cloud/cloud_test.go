package cloud

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The requests of Amazon's own test suite for version 4 have the signatures
// that it says.
func TestSign(t *testing.T) {
	key := Amazon{ID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	at := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	for _, tt := range []struct{ name, method, url, kind, body, want string }{
		{"get-vanilla", "GET", "/", "", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"post-vanilla", "POST", "/", "", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		{"get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", "", "", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		{"post-x-www-form-urlencoded", "POST", "/", "application/x-www-form-urlencoded", "Param1=value1", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tt.method, "https://example.amazonaws.com"+tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.kind != "" {
			r.Header.Set("Content-Type", tt.kind)
		}
		key.Sign(r, []byte(tt.body), "us-east-1", "service", at)
		if got := r.Header.Get("Authorization"); !strings.HasSuffix(got, "Signature="+tt.want) {
			t.Errorf("%s: signed %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestAmazonHost(t *testing.T) {
	for _, tt := range []struct{ partition, region, want string }{
		{"aws", "eu-west-1", "kms.eu-west-1.amazonaws.com"},
		{"aws-cn", "cn-north-1", "kms.cn-north-1.amazonaws.com.cn"},
		{"aws-us-gov", "us-gov-west-1", "kms.us-gov-west-1.amazonaws.com"},
		{"aws", "evil.example.com/-1", ""}, {"aws", "eu-west-1.evil", ""}, {"aws", "", ""}, {"other", "eu-west-1", ""},
	} {
		if got, err := AmazonHost("kms", tt.partition, tt.region); got != tt.want || (err == nil) != (got != "") {
			t.Errorf("%s, %s: %q, %v, want %q", tt.partition, tt.region, got, err, tt.want)
		}
	}
}

func TestSend(t *testing.T) {
	followed := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			fmt.Fprint(w, "fine")
		case "/away":
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		case "/there":
			followed = true
		case "/endless":
			fmt.Fprint(w, strings.Repeat("x", maxAnswer+1))
		case "/refused":
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, strings.Repeat("x", maxAnswer+1))
		case "/slow":
			<-r.Context().Done()
		}
	}))
	defer server.Close()
	transport := Transport()
	defer transport.CloseIdleConnections()
	client := Client(transport)
	if client.Timeout != patience {
		t.Errorf("a request may take %v", client.Timeout)
	}
	client.Timeout = 300 * time.Millisecond
	for _, tt := range []struct{ at, want, err string }{
		{server.URL + "/ok", "fine", ""},
		{server.URL + "/away", "", "it answers 307 Temporary Redirect, and redirects are not followed"},
		{server.URL + "/endless", "", "its answer has more than 1048576 bytes"},
		{server.URL + "/refused", "", "it answers 403 Forbidden"},
		{server.URL + "/slow", "", "Client.Timeout exceeded"},
		{"http://169.254.169.254/latest", "", "169.254.169.254 is an address that is not asked"},
		{"http://[fe80::1%25lo]/", "", "is an address that is not asked"},
		{"http://[fd00:ec2::254]/", "", "is an address that is not asked"},
	} {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, tt.at, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Send(client, r)
		if string(got) != tt.want || (err == nil) != (tt.err == "") || !strings.Contains(fmt.Sprint(err), tt.err) {
			t.Errorf("%s: %q, %v, want %q, %q", tt.at, got, err, tt.want, tt.err)
		}
	}
	if followed {
		t.Error("a redirect was followed")
	}
}

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"a\n\tb\x00c": "a b c", "\xff": "?", " ": "", strings.Repeat("é", maxWords+1): strings.Repeat("é", maxWords) + "…",
	} {
		if got := Words(in); got != want {
			t.Errorf("Words(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzCredentials looks for panics, and for errors that show what was read.
func FuzzCredentials(f *testing.F) {
	for _, s := range []string{
		"aws_access_key_id: a\naws_secret_access_key: hunter2hunter2\n", `{"type":"service_account","private_key":"hunter2hunter2"}`,
		"tenantId: t\nclientId: c\nclientSecret: hunter2hunter2\n", "tenant: t\nappId: c\npassword: [hunter2hunter2]\n", "{",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data string) {
		_, a := ReadAmazon(data)
		_, g := ReadGoogle(data)
		_, z := ReadAzure(data)
		for _, err := range []error{a, g, z} {
			if err != nil && strings.Contains(err.Error(), "hunter2hunter2") && !strings.Contains(data, `"type"`) {
				t.Errorf("%v tells what was read", err)
			}
		}
	})
}
