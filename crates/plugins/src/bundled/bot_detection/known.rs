//! How crawlers and libraries call themselves in `User-Agent`.
//!
//! Owns: the names, as github.com/ua-parser/uap-core collects them (Apache-2.0), for those whom Kong refuses too. Must not
//! know: who asks. Capitals count.

use std::sync::LazyLock;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;

/// One expression for all; `None` would be a mistake in this file.
pub(super) fn bots() -> Option<&'static Regex> {
    static BOTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let all = format!("{}|{}|{}", GENERAL.join("|"), NAMES.join("|"), versioned());
        // Bytes: nobody promises that the header is text.
        Regex::builder().syntax(syntax::Config::new().unicode(false).utf8(false)).build(&all).ok()
    });
    BOTS.as_ref()
}

/// What tells a crawler whatever its name.
const GENERAL: &[&str] = &[
    "(?i:spider|crawl)",
    "[Ss]crape",
    r"(?:[Aa]rchiver|[Ii]ndexer|[Ss]craper|[Bb]ot)[/ ]\d",
    r"/(?:[A-z]+[Bb]ot|Axtaris|fetchurl|Isara|ShopSalad|Tailsweep)[ -]\d",
    r" PTST/\d+\.?\d+$",
    r"Google.*/\+/web/snippet",
    r"Pingdom\.com_bot_version_\d+\.\d",
    r"facebookexternalhit/\d+\.\d",
    r"\b(?:Boto3?|JetS3t|aws-(?:cli|sdk-(?:cpp|go|java|nodejs|ruby2?|dotnet-(?:\d{1,2}|core)))|s3fs)/\d+\.\d",
];

/// A version follows; alone they may be anybody's.
fn versioned() -> String {
    #[rustfmt::skip]
    const NAMES: &[&str] = &[
        "008", "Altresium", "Argus", "BaiduMobaider", "BoardReader", "DNSGroup", "DataparkSearch", "EDI", "Goodzer",
        "Grub", "INGRID", "Infohelfer", "LOOQ", "PathDefender", "Peew", "PostPost", "Steeler", "VSE", "WebCrunch",
        "WebZIP", "Y!J-BR[A-Z]", "envolk", "sproose", "wminer",
    ];
    format!(r"\b(?:{})/\d", NAMES.join("|"))
}

/// The name is enough.
#[rustfmt::skip]
const NAMES: &[&str] = &[
    // Libraries.
    "Apache-HttpClient", "Go-http-client", "Google-HTTP-Java-Client", "HttpMonitor", "JNLP", "Python-urllib",
    "TLSProber", "WinHTTP", "aihttp", "axios", "http%20client", "okhttp", "reqwest", "scalaj-http",
    "unirest-(?:java|net|nodejs|php|python|ruby)",
    // Crawlers and the like, unless a general expression tells them.
    r"50\.nu", "Aboundex", r"Accoona-[A-z]{1,30}-Agent", "AdsBot-Google", "AppEngine-Google", "Ask Jeeves", "BUbiNG",
    "BingPreview", "BlogBridge", "Bloglovin", "BoardReader Blog Indexer", "BoardReader Favicon Fetcher", "BotSeer",
    r"BotName/\$BotVersion", "Catchpoint", "Checklinks", "Cityreview Robot", "Daumoa",
    "Feed Seeker Bot", "Feedbin", "Finderbots", "Flamingo_SearchEngine", "FollowSite Bot", "Genieo", "GomezAgent",
    "Google SketchUp", "Googlebot", "HiddenMarket", "HooWWWer", r"IP2[a-z]{1,30}Bot", "Icarus6j", "IconSurf",
    "IlTrovatore", "InfuzApp", "InternetArchive", "Job Roboter", "KaloogaBot", "Kraken", "Kurzor", "LEIA", "LesnikBot",
    "LinkAider", "LinkedInBot", "Linguee Bot", "Lite Bot", "Llaut", "MJ12bot", r"Mail\.RU_Bot",
    "Mediapartners-Google", "Microsoft .{0,30} Bot", "Mtps Feed Aggregation System", "Netvibes", "NewsGator", "Nutch",
    "Nymesis", "OOZBOT", "ObjectsSearch", "OgScrper", "Orbiter", "PagePeeker", "PagesInventory", "PaxleFramework",
    "Peeplo Screenshot Bot", "PlantyNet_WebRobot", "Pompos", "Qwantify", "Read%20Later", "Reaper", "RedCarpet",
    "Retreiver", "Riddler", "Rival IQ", "SEOstats", "Scrapy", "Scrubby", "SemrushBot", "SimplePie", "SimpleRSS",
    "Simpy", "SiteCat Webbot", "SiteCon", "Slack-ImgProxy", "Slackbot-LinkExpanding", "Slurp", "Squrl Java", "Stringer",
    "TheUsefulbot", "ThumbShotsBot", r"Thumbshots\.ru", "Tiny Tiny RSS", "Twitterbot", "URL2PNG", "Vagabondo",
    "VoilaBot", "Votay bot", "WASALive.Bot", "WIRE", "WeSEE:[A-z]", "Web-sniffer", "WebThumb", "WhatWeb", "WhatsApp",
    "WordPress", "Wotbox", "Xenu(?:.s)? Link Sleuth", r"Xerka [A-z]{1,30}Bot", "YahooSeeker", r"Yandex\w", "YodaoBot",
    "YottaaMonitor", "Yowedo", r"ZeBot_www\.ze\.bz", "ZooShot", "ZyBorg", r"\bYeti", "^NING", "^Zao", "^vortex",
    "^voyager", "altavista", r"archive.{0,30}\.org_bot", "archiver", "bingbot", "blitzbot", "boitho.com-dc",
    "[Cc]harlotte", "clumboot", "favicon", "findlinks", "furlbot", "gigabot", "gonzo1", "grub-client", "heritrix",
    "holmes", "htdig", "ichiro", r"jbot\b", "larbin", "lycos", "masidani_bot", "masscan", "mogimogi", "mozDex",
    "msnbot", "msrbot", "netresearch", "scooter", "searchsight", "seekbot", "semanticdiscovery", "snappy",
    r"www\.almaden\.ibm\.com", "yacy",
];
