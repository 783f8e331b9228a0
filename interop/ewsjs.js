// Drives ews-javascript-api against an EWS server and prints what it saw as one JSON
// object: the folders, every message of some folders, and what incremental sync told
// while a message was put, marked as read, moved and deleted.
//
// Usage: node ewsjs.js URL USER PASSWORD
'use strict';
const ews = require('ews-javascript-api');

const [url, user, password] = process.argv.slice(2);
const service = new ews.ExchangeService(ews.ExchangeVersion.Exchange2013_SP1);
service.Credentials = new ews.WebCredentials(user, password);
service.Url = new ews.Uri(url);

const known = ews.WellKnownFolderName;
const inbox = new ews.FolderId(known.Inbox);

async function folders() {
  const view = new ews.FolderView(5); // smaller than the list, so that it is paged
  view.Traversal = ews.FolderTraversal.Deep;
  const names = [];
  for (;;) {
    const page = await service.FindFolders(known.MsgFolderRoot, view);
    names.push(...page.Folders.map((f) => f.DisplayName));
    if (!page.MoreAvailable) return names;
    view.Offset += page.Folders.length; // this client does not fill in NextPageOffset of folders
  }
}

const wanted = new ews.PropertySet(ews.BasePropertySet.IdOnly, [
  ews.ItemSchema.Subject, ews.ItemSchema.Body, ews.ItemSchema.MimeContent, ews.ItemSchema.Size,
  ews.EmailMessageSchema.From, ews.EmailMessageSchema.InternetMessageId,
]);

async function messages(folder) {
  const view = new ews.ItemView(4);
  const list = [];
  for (;;) {
    const page = await service.FindItems(folder, view);
    if (page.Items.length > 0) await service.LoadPropertiesForItems(page.Items, wanted);
    for (const item of page.Items) {
      list.push({
        subject: item.Subject,
        body: item.Body.Text || '',
        html: item.Body.BodyType === ews.BodyType.HTML,
        mime: item.MimeContent.Content,
        from: item.From ? item.From.Address : '',
      });
    }
    if (!page.MoreAvailable) return list;
    view.Offset = page.NextPageOffset;
  }
}

class Follower {
  state = null;

  // changes reads all pages since the last call: [kind, id] of each.
  async changes() {
    const list = [];
    for (;;) {
      const page = await service.SyncFolderItems(inbox, ews.PropertySet.IdOnly, [], 3, ews.SyncFolderItemsScope.NormalItems, this.state);
      for (const c of page.GetEnumerator()) list.push({ kind: ews.ChangeType[c.ChangeType], id: c.ItemId.UniqueId });
      this.state = page.SyncState;
      if (!page.MoreChangesAvailable) return list;
    }
  }
}

async function incremental() {
  const follower = new Follower();
  const steps = { first: await follower.changes(), idle: await follower.changes() };
  const message = new ews.EmailMessage(service);
  const mime = 'From: clara@customer.example\r\nTo: ' + user + '\r\nSubject: Put by a client\r\n\r\nText\r\n';
  message.MimeContent = new ews.MimeContent('UTF-8', Buffer.from(mime).toString('base64'));
  await message.Save(inbox);
  steps.put = await follower.changes();

  const id = new ews.ItemId(steps.put[0].id);
  const item = await ews.EmailMessage.Bind(service, id, new ews.PropertySet(ews.BasePropertySet.IdOnly, [ews.EmailMessageSchema.IsRead]));
  item.IsRead = !item.IsRead;
  await item.Update(ews.ConflictResolutionMode.AutoResolve);
  steps.read = await follower.changes();

  const moved = await item.Move(known.JunkEmail);
  steps.moved = await follower.changes();
  await moved.Move(known.Inbox);
  steps.back = await follower.changes();
  await service.DeleteItem(new ews.ItemId(steps.back[0].id), ews.DeleteMode.HardDelete, null, null);
  steps.deleted = await follower.changes();
  return steps;
}

// heard listens, by streaming and by pull, while the mailbox is changed: the events of
// each, by name.
async function heard(change) {
  const of = ews.EventType;
  const kinds = [of.NewMail, of.Created, of.Modified, of.Moved, of.Copied, of.Deleted];
  const pull = await service.SubscribeToPullNotifications([inbox], 10, null, ...kinds);
  const subscription = await service.SubscribeToStreamingNotificationsOnAllFolders(...kinds);
  const connection = new ews.StreamingSubscriptionConnection(service, 30);
  connection.AddSubscription(subscription);
  const streamed = [];
  const done = new Promise((resolve, reject) => {
    connection.OnNotificationEvent.push((_, args) => {
      for (const e of args.Events) streamed.push(of[e.EventType]);
      if (streamed.includes('Deleted')) resolve();
    });
    connection.OnSubscriptionError.push((_, args) => reject(args.Exception));
    connection.OnDisconnect.push(() => reject(new Error('the stream ended')));
  });
  connection.Open().catch(() => {}); // comes back when the connection ends
  const sync = await change();
  await done;
  const pulled = (await pull.GetEvents()).AllEvents.map((e) => of[e.EventType]);
  await pull.Unsubscribe();
  return { sync, streamed, pulled };
}

async function main() {
  const hierarchy = await service.SyncFolderHierarchy(new ews.FolderId(known.MsgFolderRoot), ews.PropertySet.IdOnly, null);
  const result = {
    folders: await folders(),
    hierarchy: hierarchy.Count,
    inbox: await messages(known.Inbox),
    sent: await messages(known.SentItems),
    ...(await heard(incremental)),
  };
  process.stdout.write(JSON.stringify(result), () => process.exit(0)); // the stream is still open
}

main().catch((err) => {
  console.error(err);
  process.exit(1);
});
