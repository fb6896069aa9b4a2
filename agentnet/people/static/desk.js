"use strict";
// The experimenter's page is loaded again while nobody uses it: neither a selection nor the focus is lost.
setInterval(() => {
  if (getSelection().isCollapsed && document.activeElement === document.body) location.reload();
}, 5000);
