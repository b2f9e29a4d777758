package flux

import "testing"

func TestAmazonSTS(t *testing.T) {
	for url, want := range map[string]bool{
		"https://sts.amazonaws.com":                                          true,
		"https://sts.amazonaws.com/":                                         true,
		"https://sts.eu-west-1.amazonaws.com":                                true,
		"https://sts.us-gov-west-1.amazonaws.com:443":                        true,
		"https://sts-fips.us-east-1.amazonaws.com":                           true,
		"https://sts.cn-north-1.amazonaws.com.cn":                            true,
		"https://sts.us-east-1.api.aws":                                      true,
		"https://vpce-0a1b-c2d3.sts.us-east-1.vpce.amazonaws.com":            true,
		"https://vpce-0a1b-c2d3-us-east-1a.sts.us-east-1.vpce.amazonaws.com": true,

		"http://sts.eu-west-1.amazonaws.com":              false,
		"https://sts.s3.amazonaws.com":                    false,
		"https://sts.s3-website-1.amazonaws.com.evil.com": false,
		"https://x.execute-api.us-east-1.amazonaws.com":   false,
		"https://ec2-1-2-3-4.compute-1.amazonaws.com":     false,
		"https://evil.com/sts.amazonaws.com":              false,
		"https://sts.amazonaws.com@evil.com":              false,
		"https://sts.amazonaws.com:8443":                  false,
		"https://sts.eu-west-1.amazonaws.com/\nX: y":      false,
		"": false,
	} {
		if got := isAmazonSTS(url); got != want {
			t.Errorf("isAmazonSTS(%q) = %v", url, got)
		}
	}
}
