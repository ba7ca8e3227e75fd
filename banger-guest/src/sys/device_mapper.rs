//! The control device of the device mapper: `include/uapi/linux/dm-ioctl.h` of the kernel.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

/// The version of the interface that the requests need: 4.0.0.
const VERSION: [u32; 3] = [4, 0, 0];

/// `sizeof(struct dm_ioctl)`.
const HEADER: usize = 312;
/// `sizeof(struct dm_target_spec)`.
const TARGET: usize = 40;
/// Bytes of a request: the header, one target and its parameters.
const BYTES: usize = 4096;

// Places in `struct dm_ioctl`.
const DATA_SIZE_AT: usize = 12;
const DATA_START_AT: usize = 16;
const TARGET_COUNT_AT: usize = 20;
const FLAGS_AT: usize = 28;
const DEV_AT: usize = 40;
const NAME_AT: usize = 48;
/// `DM_NAME_LEN`, with the zero at the end.
const NAME_BYTES: usize = 128;

// Places in `struct dm_target_spec`.
const LENGTH_AT: usize = HEADER + 8;
const KIND_AT: usize = HEADER + 24;
/// `DM_MAX_TYPE_NAME`, with the zero at the end.
const KIND_BYTES: usize = 16;
const PARAMETERS_AT: usize = HEADER + TARGET;

/// `DM_READONLY_FLAG`.
const READ_ONLY: u32 = 1;

/// `DM_IOCTL`.
const GROUP: u8 = 0xfd;
/// `DM_DEV_CREATE`.
const CREATE: Opcode = opcode::read_write::<[u8; HEADER]>(GROUP, 3);
/// `DM_DEV_SUSPEND`; without a flag it resumes, and makes the loaded table the active one.
const RESUME: Opcode = opcode::read_write::<[u8; HEADER]>(GROUP, 6);
/// `DM_TABLE_LOAD`.
const LOAD: Opcode = opcode::read_write::<[u8; HEADER]>(GROUP, 9);

/// A target over a whole device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The type: `verity`.
    pub(crate) kind: &'a str,
    /// Its sectors of 512 bytes.
    pub(crate) sectors: u64,
    /// Its parameters, separated by spaces.
    pub(crate) parameters: &'a str,
}

/// Makes the device `name`, without a table; returns its minor number.
pub(crate) fn create(control: impl AsFd, name: &str) -> Result<u32, Errno> {
    let mut request = Request::new(name)?;
    request.send::<CREATE>(control)?;
    Ok(minor(request.u32_at(DEV_AT)))
}

/// The minor number of an encoded device (`new_encode_dev`): 8 bits of it, 12 bits of the major one, 12 bits of it.
const fn minor(device: u32) -> u32 {
    (device & 0xff) | ((device >> 12) & 0x000f_ff00)
}

/// Loads the table of one read-only target for the device `name`.
pub(crate) fn load(control: impl AsFd, name: &str, target: Target<'_>) -> Result<(), Errno> {
    let mut request = Request::new(name)?;
    request.put(FLAGS_AT, &READ_ONLY.to_ne_bytes())?;
    request.put(TARGET_COUNT_AT, &1_u32.to_ne_bytes())?;
    request.put(LENGTH_AT, &target.sectors.to_ne_bytes())?;
    request.put_text(KIND_AT, target.kind, KIND_BYTES)?;
    request.put_text(PARAMETERS_AT, target.parameters, BYTES - PARAMETERS_AT)?;
    request.send::<LOAD>(control)
}

/// Makes the loaded table of the device `name` the active one.
pub(crate) fn resume(control: impl AsFd, name: &str) -> Result<(), Errno> {
    Request::new(name)?.send::<RESUME>(control)
}

/// A request, and the answer in the same bytes.
struct Request([u8; BYTES]);

impl Request {
    fn new(name: &str) -> Result<Self, Errno> {
        let mut request = Self([0; BYTES]);
        for (index, number) in VERSION.iter().enumerate() {
            request.put(index * 4, &number.to_ne_bytes())?;
        }
        request.put(DATA_SIZE_AT, &u32::try_from(BYTES).map_err(|_| Errno::INVAL)?.to_ne_bytes())?;
        request.put(DATA_START_AT, &u32::try_from(HEADER).map_err(|_| Errno::INVAL)?.to_ne_bytes())?;
        request.put_text(NAME_AT, name, NAME_BYTES)?;
        Ok(request)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> Result<(), Errno> {
        let place = self.0.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len()));
        place.ok_or(Errno::INVAL)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Puts a text and the zero behind it into a field.
    fn put_text(&mut self, at: usize, text: &str, field_bytes: usize) -> Result<(), Errno> {
        match text.len() < field_bytes && !text.contains('\0') {
            true => self.put(at, text.as_bytes()),
            false => Err(Errno::NAMETOOLONG),
        }
    }

    fn u32_at(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    fn send<const OPCODE: Opcode>(&mut self, control: impl AsFd) -> Result<(), Errno> {
        // SAFETY: the operations are those of the device mapper on a pointer to a `struct dm_ioctl`. The kernel reads
        // and writes at most `data_size` bytes behind the pointer, which is the length of the array. Any bytes are a
        // value of it. A descriptor of another device refuses the number.
        unsafe { ioctl(control, Updater::<OPCODE, [u8; BYTES]>::new(&mut self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_devices_are_decoded() {
        for (device, expected) in [(0xfe00, 0), (0xfe07, 7), (0x0010_fd2a, 0x12a), (0xfff0_00ff, 0x000f_ffff)]
        {
            assert_eq!(minor(device), expected, "{device:#x}");
        }
    }

    #[test]
    fn requests_have_the_fields_of_the_kernel() {
        let mut request = Request::new("root").expect("the name is short");
        assert_eq!(request.u32_at(0), 4);
        assert_eq!(request.u32_at(DATA_SIZE_AT), 4096);
        assert_eq!(&request.0[NAME_AT..NAME_AT + 5], b"root\0");
        assert!(request.put_text(KIND_AT, &"v".repeat(KIND_BYTES), KIND_BYTES).is_err());
        assert!(request.put(BYTES - 1, &[0, 0]).is_err());
        assert!(Request::new(&"n".repeat(NAME_BYTES)).is_err());
        // The numbers of dm-ioctl.h on x86 and arm.
        assert_eq!((CREATE, RESUME, LOAD), (0xc138_fd03, 0xc138_fd06, 0xc138_fd09));
    }
}
