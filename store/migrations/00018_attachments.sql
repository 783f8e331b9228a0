-- What a policy leaves alone of attachments, to be found when one lets in more.

create index attachment_left on attachment (org_id, mailbox_id) where state in ('listed', 'too_large');
