-- State in a module that two policies could share.
-- load: policy
return require("no_such_module")
