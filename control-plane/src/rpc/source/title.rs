//! What providers are called.

/// Titles that are not the words of the name, each with a capital letter.
#[rustfmt::skip]
const TITLES: &[(&str, &str)] = &[
    ("aws_sns", "Amazon SNS"),
    ("bigcommerce", "BigCommerce"),
    ("bridge_xyz", "Bridge"),
    ("cal_com", "Cal.com"),
    ("checkout_com", "Checkout.com"),
    ("circleci", "CircleCI"),
    ("cloudevents", "CloudEvents"),
    ("cloudevents_batch", "CloudEvents, batched"),
    ("cloudinary_sha256", "Cloudinary (SHA-256)"),
    ("coinbase_cdp", "Coinbase Developer Platform"),
    ("customer_io", "Customer.io"),
    ("docusign", "DocuSign"),
    ("easypost", "EasyPost"),
    ("ebay", "eBay"),
    ("elevenlabs", "ElevenLabs"),
    ("fastspring", "FastSpring"),
    ("fusionauth", "FusionAuth"),
    ("fusionauth_key_pair", "FusionAuth (key pair)"),
    ("generic_basic", "HTTP Basic"),
    ("generic_bearer", "Bearer token"),
    ("generic_hmac", "HMAC of the body"),
    ("generic_token", "Token in a header"),
    ("github", "GitHub"),
    ("gitlab", "GitLab"),
    ("gitlab_signed", "GitLab (signed)"),
    ("gocardless", "GoCardless"),
    ("google_pubsub", "Google Pub/Sub"),
    ("hubspot", "HubSpot"),
    ("hubspot_v1", "HubSpot (version 1)"),
    ("hubspot_v2", "HubSpot (version 2)"),
    ("incident_io", "incident.io"),
    ("line", "LINE"),
    ("linkedin", "LinkedIn"),
    ("livekit", "LiveKit"),
    ("mailgun_parent", "Mailgun (parent account)"),
    ("mercadopago", "Mercado Pago"),
    ("messagebird", "MessageBird"),
    ("mollie_classic", "Mollie (classic)"),
    ("monday", "monday.com"),
    ("openai", "OpenAI"),
    ("pagerduty", "PagerDuty"),
    ("payfast", "PayFast"),
    ("paypal", "PayPal"),
    ("paypro", "PayPro"),
    ("qstash", "QStash"),
    ("recall_ai", "Recall.ai"),
    ("recharge_legacy", "Recharge (legacy)"),
    ("ringcentral", "RingCentral"),
    ("sendgrid", "SendGrid"),
    ("shipbob", "ShipBob"),
    ("standard_webhooks_v1a", "Standard Webhooks (asymmetric)"),
    ("tiktok", "TikTok"),
    ("tiktok_shop", "TikTok Shop"),
    ("unsigned", "Anybody, unsigned"),
    ("usps", "USPS"),
    ("wechat_pay", "WeChat Pay"),
    ("whatsapp", "WhatsApp"),
    ("woocommerce", "WooCommerce"),
    ("workos", "WorkOS"),
];

/// The title of a provider.
pub(super) fn title(name: &str) -> String {
    let known = TITLES.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| capitalised(name), |(_, title)| (*title).to_owned())
}

fn capitalised(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        format!("{}{rest}", first.to_ascii_uppercase())
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use posthorn_verify::catalogue;

    use super::*;

    #[test]
    fn every_title_is_that_of_a_provider() {
        for (name, _) in TITLES {
            assert!(catalogue().get(name).is_some(), "{name}");
        }
        assert!(TITLES.is_sorted_by(|(a, _), (b, _)| a < b));
    }

    #[test]
    fn a_name_is_a_title_with_capital_letters() {
        for (name, expected) in [
            ("stripe", "Stripe"),
            ("lemon_squeezy", "Lemon Squeezy"),
            ("github", "GitHub"),
            ("", ""),
        ] {
            assert_eq!(title(name), expected);
        }
    }
}
