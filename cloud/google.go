package cloud

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Google is the key of one of Google's service accounts.
type Google struct {
	Account string // its address
	keyID   string
	key     *rsa.PrivateKey
	office  string // URL of where tokens are given out
}

const googleOffice = "https://oauth2.googleapis.com/token"

// ReadGoogle reads a service account's key, as Google gives it out in JSON. Its
// errors do not tell it.
func ReadGoogle(data string) (Google, error) {
	var file struct {
		Type    string `json:"type"`
		Account string `json:"client_email"`
		ID      string `json:"private_key_id"`
		Key     string `json:"private_key"`
		Office  string `json:"token_uri"`
	}
	if json.Unmarshal([]byte(data), &file) != nil {
		return Google{}, errors.New("no JSON key of a service account of Google's")
	}
	if file.Type != "service_account" {
		return Google{}, fmt.Errorf("its type is %.40q: only service_account is supported", file.Type)
	}
	key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(file.Key))
	if err != nil || file.Account == "" {
		return Google{}, errors.New("no JSON key of a service account of Google's: it must have client_email, and an RSA private_key")
	}
	if file.Office == "" {
		file.Office = googleOffice
	}
	return Google{file.Account, file.ID, key, file.Office}, nil
}

// Token asks for a token that is good for a scope, such as
// "https://www.googleapis.com/auth/cloudkms".
func (g Google) Token(ctx context.Context, c *http.Client, scope string, now time.Time) (Token, error) {
	claims := jwt.MapClaims{"iss": g.Account, "scope": scope, "aud": g.office, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	proof := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	if g.keyID != "" {
		proof.Header["kid"] = g.keyID
	}
	text, err := proof.SignedString(g.key)
	if err != nil {
		return Token{}, errors.New("a token for Google can't be signed by this key")
	}
	return tokenFrom(ctx, c, g.office, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {text}}, now)
}

// tokenFrom asks an OAuth server at a URL for a token.
func tokenFrom(ctx context.Context, c *http.Client, at string, form url.Values, now time.Time) (Token, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at, nil)
	if err != nil {
		return Token{}, errors.New("where tokens are given out is no URL")
	}
	r = withBody(r, form.Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	data, err := Send(c, r)
	if err != nil {
		return Token{}, fmt.Errorf("ask %s for a token: %w", r.URL.Host, oauthWords(err))
	}
	t, err := readToken(data, now)
	if err != nil {
		return t, fmt.Errorf("ask %s for a token: %w", r.URL.Host, err)
	}
	return t, nil
}

// readToken reads a token as OAuth servers give it out.
func readToken(data []byte, now time.Time) (Token, error) {
	var answer struct {
		Token string `json:"access_token"`
		For   int64  `json:"expires_in"` // seconds
	}
	if json.Unmarshal(data, &answer) != nil || answer.Token == "" {
		return Token{}, errors.New("there is none in the answer")
	}
	return Token{answer.Token, now.Add(time.Duration(answer.For) * time.Second)}, nil
}

// oauthWords returns err with what an OAuth server says of it.
func oauthWords(err error) error {
	r, ok := refusalIn(err)
	var said struct {
		Code    string `json:"error"`
		Message string `json:"error_description"`
	}
	if ok && json.Unmarshal(r.Body, &said) == nil && said.Code != "" {
		return fmt.Errorf("%w: %s", err, Words(said.Code+": "+said.Message))
	}
	return err
}

func withBody(r *http.Request, body string) *http.Request {
	r.ContentLength = int64(len(body))
	r.Body = io.NopCloser(strings.NewReader(body))
	return r
}
