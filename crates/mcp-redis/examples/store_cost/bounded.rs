//! Stores that keep no more than so many of what they are for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etdi_core::approval::{
    Approval, ApprovalStore as _, Facts, Given, Granted, Reason, Seen, Standing,
};
use etdi_core::definition::RawTool;
use etdi_core::key::KeyId;
use etdi_core::level::SecurityLevel;
use etdi_core::revocation::RevocationStore as _;
use mcp_redis::StoreName;
use mcp_server::Server;
use mcp_transport::http::server::SessionStore as _;

use crate::meter::Meter;
use crate::{Done, now};

pub(crate) async fn measure(meter: &Meter) -> Done {
    told(meter).await?;
    changes(meter).await?;
    approvals(meter).await?;
    servers(meter).await?;
    revocations(meter).await
}

async fn told(meter: &Meter) -> Done {
    let sessions = meter.stores.sessions()?;
    let tell = move |number: usize| {
        let sessions = sessions.clone();
        async move {
            let answer = Bytes::from(vec![b'x'; 200]);
            Ok(sessions.tell(&format!("{number:032}"), answer).await?)
        }
    };
    let one = "what is passed on to another node, 200 bytes";
    meter.of(16_000, 64).measure("sessions", one, StoreName::Sessions, tell).await
}

async fn changes(meter: &Meter) -> Done {
    let server = Server::new("cost", "1.0.0").build()?;
    let changes = server.changes();
    let _link = meter.stores.link(&changes).await?;
    let change = move |number: usize| {
        let changes = changes.clone();
        async move {
            changes.resource_updated(&format!("notes://of/ada/{number:08}"));
            // Written by the link, what came together in one step.
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok(())
        }
    };
    meter.of(4_000, 1).measure("changes", "resource that changes", StoreName::Changes, change).await
}

async fn approvals(meter: &Meter) -> Done {
    let approvals = meter.stores.approvals()?;
    let approve = move |number: usize| {
        let approvals = approvals.clone();
        async move {
            let text = format!(
                r#"{{"name":"tool{number}","description":"{}","inputSchema":{{"type":"object"}}}}"#,
                "x".repeat(900)
            );
            let tool = RawTool::read(&text)?;
            let facts = Facts::new("pkg:cargo/cost", tool.definition(), &Standing::Unsigned);
            let given = Given::new(Granted::All, "ada", Reason::NotApproved);
            let approval = Approval::new(&facts, given, SecurityLevel::Basic, now());
            approvals.put(approval, None).await?;
            Ok(())
        }
    };
    let one = "approval of a definition of 1,000 bytes";
    // Each writes the head anew, which names all of them.
    meter.of(1_000, 1).measure("approvals", one, StoreName::Approvals, approve).await
}

async fn servers(meter: &Meter) -> Done {
    let approvals = meter.stores.approvals()?;
    let remember = move |number: usize| {
        let approvals = approvals.clone();
        async move {
            let key = KeyId::from_bytes([7; 32]);
            let seen = [Seen::new("search", "https://acme.example", key, Some("1.0.0".into()))];
            approvals.remember(&format!("pkg:cargo/server{number}"), &seen, now()).await?;
            Ok(())
        }
    };
    let one = "server with a signed tool that is remembered";
    meter.of(1_000, 1).measure("approvals", one, StoreName::Approvals, remember).await
}

async fn revocations(meter: &Meter) -> Done {
    let revocations = Arc::new(meter.stores.revocations()?);
    let write = move |_| {
        let revocations = revocations.clone();
        async move {
            let known = revocations.read(0).await?.version;
            revocations.write(known, vec![b'x'; 1 << 20]).await?;
            Ok(())
        }
    };
    let one = "text of a mebibyte, in place of the one before";
    meter.of(1, 1).measure("revocations", one, StoreName::Revocations, write).await
}
